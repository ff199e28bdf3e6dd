# The same import over the wire, for example beside the aws CLI. In another shell first:
#
#   terraform-provider-ec2 serve --bucket images=./images

terraform {
  required_providers {
    ec2 = {
      source = "ec2-import-snapshot/ec2"
    }
  }
}

provider "ec2" {
  region     = "us-east-1"
  access_key = "test"
  secret_key = "test"

  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
  }
}

variable "endpoint" {
  description = "What serve prints when it is ready."
  type        = string
  default     = "http://127.0.0.1:4599"
}

resource "ec2_import_snapshot" "disk" {
  disk_container = {
    user_bucket = {
      s3_bucket = "images"
      s3_key    = "disk.vmdk"
    }
  }
}

output "snapshot_id" {
  value = ec2_import_snapshot.disk.snapshot_id
}
