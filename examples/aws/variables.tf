variable "image" {
  description = "Path of the disk image: RAW, VHD, VHDX or streamOptimized VMDK."
  type        = string
}

variable "name" {
  description = "Name of the snapshot and the AMI."
  type        = string
  default     = "imported"
}

variable "region" {
  description = "Region of the bucket, the snapshot and the AMI."
  type        = string
  default     = "eu-central-1"
}

variable "kms_key_arn" {
  description = "KMS key for the snapshot. Null: encrypted or not as the account's default says. An account that encrypts by default with a key of its own needs it here too, for the role's sake."
  type        = string
  default     = null
}

variable "object_kms_key_arn" {
  description = "KMS key that the bucket encrypts its objects with (SSE-KMS), where it does."
  type        = string
  default     = null
}
