variable "images_dir" {
  description = "Directory with the image; relative paths start where terraform runs."
  type        = string
  default     = "./images"
}

variable "image" {
  description = "Name of the image in that directory: RAW, VHD, VHDX or streamOptimized VMDK."
  type        = string
  default     = "disk.vmdk"
}

variable "task_duration" {
  description = "How long an import takes at least."
  type        = string
  default     = "0s"
}
