#!/bin/sh
# The root file system of a base image, of Debian's own packages: k8s/base_image.sh TAR [SUITE]
# Needs root; no registry of images is asked.
set -eu
tar=$1
suite=${2:-bookworm}
command -v debootstrap >/dev/null || apt-get install -q -y --no-install-recommends debootstrap >&2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" >&2
# This machine's certificates: it may stand behind an authority of its own.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/*
tar -C "$root" -cf "$tar" .
