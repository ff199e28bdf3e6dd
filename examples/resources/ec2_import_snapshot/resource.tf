resource "ec2_import_snapshot" "example" {
  disk_container = {
    format = "vmdk" # leave it out and EC2 detects it
    user_bucket = {
      s3_bucket = aws_s3_object.image.bucket
      s3_key    = aws_s3_object.image.key
    }
  }

  # Another image under the same key is another import.
  source_hash = aws_s3_object.image.source_hash

  role_name = aws_iam_role.vmimport.name

  tags = {
    Name = "debian-13"
  }
}

resource "aws_ami" "example" {
  name                = "debian-13"
  virtualization_type = "hvm"
  ena_support         = true
  root_device_name    = "/dev/xvda"

  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = ec2_import_snapshot.example.snapshot_id
  }
}
