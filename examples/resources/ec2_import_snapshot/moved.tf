moved {
  from = aws_ebs_snapshot_import.example
  to   = ec2_import_snapshot.example
}
