import {
  to = ec2_import_snapshot.example
  id = "import-snap-0d2d72622b4359567"
}
