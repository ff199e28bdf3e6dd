output "import_task_id" {
  value = ec2_import_snapshot.disk.import_task_id
}

output "snapshot_id" {
  value = ec2_import_snapshot.disk.snapshot_id
}

output "volume_size" {
  description = "GiB, rounded up."
  value       = ec2_import_snapshot.disk.volume_size
}

output "volume_path" {
  description = "The snapshot's bytes: a raw file that any tool can read."
  value       = ec2_import_snapshot.disk.volume_path
}

output "volume_sha256" {
  value = ec2_import_snapshot.disk.volume_sha256
}

output "source_format" {
  description = "What the provider found the image to be."
  value       = try(join(" ", compact([ec2_import_snapshot.disk.source.format, ec2_import_snapshot.disk.source.sub_format])), null)
}
