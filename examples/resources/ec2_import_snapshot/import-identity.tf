import {
  to = ec2_import_snapshot.example
  identity = {
    import_task_id = "import-snap-0d2d72622b4359567"
    region         = "eu-central-1"
  }
}
