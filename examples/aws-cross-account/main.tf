# In the account that owns the bucket: let another account import its images. Both the caller of ImportSnapshot and the service role read the bucket;
# each of them also needs the same rights in a policy of its own account.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "bucket" {
  description = "Name of the bucket with the images."
  type        = string
}

variable "reader_arns" {
  description = "ARNs in the other account: of the service role, and of the role or user that runs Terraform."
  type        = list(string)
}

data "aws_partition" "current" {}

data "aws_iam_policy_document" "images" {
  statement {
    sid       = "ReadImages"
    actions   = ["s3:GetObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.bucket}/*"]

    principals {
      type        = "AWS"
      identifiers = var.reader_arns
    }
  }

  statement {
    sid       = "FindBucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"]

    principals {
      type        = "AWS"
      identifiers = var.reader_arns
    }
  }
}

resource "aws_s3_bucket_policy" "images" {
  bucket = var.bucket
  policy = data.aws_iam_policy_document.images.json
}
