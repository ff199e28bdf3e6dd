# A module as it runs on AWS. Nothing in it knows of the local backend; tests/import.tftest.hcl tests it without AWS.

terraform {
  required_providers {
    ec2 = {
      source = "ec2-import-snapshot/ec2"
    }
  }
}

variable "bucket" {
  type = string
}

variable "key" {
  type = string
}

resource "ec2_import_snapshot" "image" {
  disk_container = {
    user_bucket = {
      s3_bucket = var.bucket
      s3_key    = var.key
    }
  }

  tags = {
    Name = trimsuffix(basename(var.key), ".vmdk")
  }
}

output "snapshot_id" {
  value = ec2_import_snapshot.image.snapshot_id
}
