terraform {
  required_providers {
    ec2 = {
      source = "ec2-import-snapshot/ec2"
    }
  }
}

# Credentials and Region as for hashicorp/aws: from here, the environment, or the shared files.
provider "ec2" {
  region = "eu-central-1"

  default_tags {
    tags = {
      Project = "images"
    }
  }
}
