# Imports a disk image without AWS: no credentials, no network. `make demo` applies a copy of this directory.

terraform {
  required_providers {
    ec2 = {
      source = "ec2-import-snapshot/ec2"
    }
  }
}

provider "ec2" {
  local = {
    # The directory that stands for the bucket "images".
    buckets = { images = var.images_dir }

    # The SHA-256 of each volume, in volume_sha256.
    checksum = true

    # An import takes at least so long, so that there is progress to see.
    simulate = { task_duration = var.task_duration }
  }
}

resource "ec2_import_snapshot" "disk" {
  description = "A disk imported without AWS"

  disk_container = {
    user_bucket = {
      s3_bucket = "images"
      s3_key    = var.image
    }
  }

  tags = {
    Name = "disk"
  }
}
