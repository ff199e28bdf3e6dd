# The service role that VM Import assumes: to read the image from S3, to make the snapshot, to use the keys.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_iam_policy_document" "vmimport_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vmie.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:Externalid"
      values   = ["vmimport"]
    }

    # Nobody else's imports.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.current.partition}:vmie:*:${data.aws_caller_identity.current.account_id}:*"]
    }
  }
}

data "aws_iam_policy_document" "vmimport" {
  statement {
    sid       = "ReadImages"
    actions   = ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"]
    resources = [aws_s3_bucket.images.arn, "${aws_s3_bucket.images.arn}/*"]
  }

  statement {
    sid       = "MakeSnapshots"
    actions   = ["ec2:CopySnapshot", "ec2:Describe*", "ec2:ModifySnapshotAttribute", "ec2:RegisterImage"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "EncryptSnapshots"
      actions   = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.object_kms_key_arn[*]
    content {
      sid       = "DecryptImages"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "vmimport" {
  name_prefix        = "vmimport-"
  assume_role_policy = data.aws_iam_policy_document.vmimport_trust.json
}

resource "aws_iam_role_policy" "vmimport" {
  name_prefix = "vmimport-"
  role        = aws_iam_role.vmimport.id
  policy      = data.aws_iam_policy_document.vmimport.json
}
