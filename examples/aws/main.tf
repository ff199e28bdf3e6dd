# A disk image on this machine becomes an object in S3, an EBS snapshot, an AMI.
# hashicorp/aws does what it does well; this provider imports the snapshot.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
    ec2 = {
      source = "ec2-import-snapshot/ec2"
    }
  }
}

provider "aws" {
  region = var.region
}

provider "ec2" {
  region = var.region # the bucket must be in the Region of the import
}

resource "aws_s3_bucket" "images" {
  bucket_prefix = "images-"
}

resource "aws_s3_object" "image" {
  bucket      = aws_s3_bucket.images.bucket
  key         = basename(var.image)
  source      = var.image
  source_hash = filesha256(var.image)
}

resource "ec2_import_snapshot" "image" {
  description = "Import of ${basename(var.image)}"

  disk_container = {
    # References to the object, not to its name: so it outlives the import, also on destroy.
    user_bucket = {
      s3_bucket = aws_s3_object.image.bucket
      s3_key    = aws_s3_object.image.key
    }
  }

  # A new image under the same key is imported again.
  source_hash = aws_s3_object.image.source_hash

  role_name  = aws_iam_role.vmimport.name
  encrypted  = var.kms_key_arn == null ? null : true
  kms_key_id = var.kms_key_arn

  tags = {
    Name = var.name
  }

  # The role alone is not enough: its rights must be there before the import starts.
  depends_on = [aws_iam_role_policy.vmimport]
}

resource "aws_ami" "image" {
  name                = var.name
  virtualization_type = "hvm"
  ena_support         = true
  root_device_name    = "/dev/xvda"

  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = ec2_import_snapshot.image.snapshot_id
    volume_type = "gp3"
  }
}

output "snapshot_id" {
  value = ec2_import_snapshot.image.snapshot_id
}

output "ami_id" {
  value = aws_ami.image.id
}
