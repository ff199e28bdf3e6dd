# By the import task:
terraform import ec2_import_snapshot.example import-snap-0d2d72622b4359567

# By the snapshot that VM Import made; its task is read from the snapshot's description:
terraform import ec2_import_snapshot.example snap-0b3d2f1e4c5a69788

# Either in a Region that is not the provider's:
terraform import ec2_import_snapshot.example import-snap-0d2d72622b4359567@eu-west-1
