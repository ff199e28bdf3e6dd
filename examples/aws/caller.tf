# What the caller needs, the role or user that runs Terraform: attach it there. The service role in vmimport.tf is another one.

data "aws_iam_policy_document" "caller" {
  statement {
    sid       = "Import"
    actions   = ["ec2:ImportSnapshot", "ec2:CancelImportTask", "ec2:CreateTags", "ec2:DeleteTags", "ec2:DeleteSnapshot"]
    resources = ["arn:${data.aws_partition.current.partition}:ec2:*:*:import-snapshot-task/*", "arn:${data.aws_partition.current.partition}:ec2:*::snapshot/*"]
  }

  # DescribeImages only to name the AMIs that keep a snapshot from being deleted. None of these takes a resource.
  statement {
    sid       = "Look"
    actions   = ["ec2:DescribeImportSnapshotTasks", "ec2:DescribeSnapshots", "ec2:DescribeImages"]
    resources = ["*"]
  }

  # Without ListBucket S3 answers "forbidden" for an object that is not there.
  statement {
    sid       = "ReadImages"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject"]
    resources = [aws_s3_bucket.images.arn, "${aws_s3_bucket.images.arn}/*"]
  }

  dynamic "statement" {
    for_each = var.object_kms_key_arn[*]
    content {
      sid       = "DecryptImages"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }

  # The VM Import guide does not ask for it, but users report that they were refused without it.
  statement {
    sid       = "PassServiceRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.vmimport.arn]
  }
}

output "caller_policy" {
  description = "JSON policy for the caller."
  value       = data.aws_iam_policy_document.caller.json
}
