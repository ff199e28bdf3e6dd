# Every argument of the local backend. All of them are optional: local = {} is enough to switch AWS off.

terraform {
  required_providers {
    ec2 = {
      source = "ec2-import-snapshot/ec2"
    }
  }
}

provider "ec2" {
  region = "eu-central-1" # us-east-1 where it is left out

  local = {
    # Where tasks, snapshots and their bytes are kept. Default: $EC2_LOCAL_DATA_DIR where that is set, else ".ec2-local".
    data_dir = ".ec2-local"

    # The directories that stand for buckets. The object images/disk.vmdk is the file ./images/disk.vmdk.
    buckets = { images = "./images" }

    # The account that owns the snapshots: 12 digits.
    account_id = "111122223333"

    # Refuse what VM Import refuses, with its words. False: import all that can be read, such as VMDKs that are not stream-optimized.
    strict = true

    # Compute the SHA-256 of each volume, for volume_sha256. It reads the whole disk, holes included.
    checksum = true

    simulate = {
      # An import takes at least so long, counted from its creation.
      task_duration = "2s"

      # With a text here every import fails with it. Null or "": none does.
      fail_with = null

      # The account encrypts snapshots whether the import asks for it or not.
      encryption_by_default = true
    }
  }
}

resource "ec2_import_snapshot" "disk" {
  disk_container = {
    url = "s3://images/disk.vmdk"
  }
}

output "owner_id" {
  value = ec2_import_snapshot.disk.owner_id
}

output "encrypted" {
  value = ec2_import_snapshot.disk.encrypted
}

output "volume_path" {
  value = ec2_import_snapshot.disk.volume_path
}
