# The machine of `facerec aws bake`, for those who have Packer already. From the checkout's top:
#
#   .venv/bin/python -m ami_build.image.bundle bundle.tar.gz
#   packer build -var bundle=bundle.tar.gz ami_build/image/app-tier.pkr.hcl
#
# Packer comes in by ssh with a key it makes for the occasion; `facerec aws bake` needs neither. Tagged
# like this the image is one of the kept versions: `facerec fleet roll VERSION` publishes it.

variable "bundle" {
  type        = string
  description = "What `python -m ami_build.image.bundle` has written."
}

variable "version" {
  type        = string
  description = "Of the image; letters, digits, dots and hyphens."
  default     = env("FACEREC_VERSION")
}

variable "facerec_id" {
  type    = string
  default = "facerec"
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "instance_type" {
  type    = string
  default = "c7i.large"
}

variable "base_image" {
  type        = string
  description = "Id of a Debian 12 image; the newest of Debian's own when empty."
  default     = ""
}

locals {
  version = var.version != "" ? var.version : formatdate("YYYYMMDD-hhmmss", timestamp())
  tags = {
    "facerec:id"      = var.facerec_id
    "facerec:version" = local.version
    "facerec:source"  = "packer"
  }
}

source "amazon-ebs" "app_tier" {
  ami_name      = "app-tier-ami-${local.version}"
  region        = var.region
  instance_type = var.instance_type
  source_ami    = var.base_image != "" ? var.base_image : null
  communicator  = "ssh"
  ssh_username  = "admin"

  dynamic "source_ami_filter" {
    for_each = var.base_image == "" ? [1] : []
    content {
      owners      = ["136693071363"] # Debian
      most_recent = true
      filters = {
        name                = "debian-12-amd64-*"
        architecture        = "x86_64"
        virtualization-type = "hvm"
      }
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 8
    volume_type           = "gp2" # Packer 1.6 asks gp3 for a throughput of 125; gp2 is as good here
    encrypted             = true
    delete_on_termination = true
  }

  tags          = local.tags
  snapshot_tags = local.tags
}

build {
  sources = ["source.amazon-ebs.app_tier"]

  provisioner "file" {
    source      = var.bundle
    destination = "/var/tmp/bundle.tar.gz"
  }

  provisioner "shell" {
    inline = [
      "mkdir /var/tmp/bundle",
      "tar -xzf /var/tmp/bundle.tar.gz -C /var/tmp/bundle",
      "sudo bash /var/tmp/bundle/provision.sh /var/tmp/bundle",
      "sudo rm -rf /var/tmp/bundle /var/tmp/bundle.tar.gz",
    ]
  }
}
