provider "ec2" {
  local = {
    buckets = { images = "./images" }
  }
}

variables {
  bucket = "images"
  key    = "disk.vmdk"
}

run "imports" {
  assert {
    condition     = ec2_import_snapshot.image.tags_all["Name"] == "disk"
    error_message = "The snapshot is named after the image."
  }

  assert {
    condition     = ec2_import_snapshot.image.volume_size == 1
    error_message = "Sizes are rounded up to GiB."
  }

  assert {
    condition     = fileexists(ec2_import_snapshot.image.volume_path)
    error_message = "The bytes of the snapshot are there."
  }
}
