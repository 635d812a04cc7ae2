#!/bin/sh
# A real Kubernetes on this machine, where kind, minikube or k3s cannot be had: docs/cluster.md.
#
#   k8s/cluster.sh up         bring it up, or bring up what of it is missing; prints its kubeconfig
#   k8s/cluster.sh status     what runs, with versions
#   k8s/cluster.sh down       end it and leave nothing but the cache
#   k8s/cluster.sh images     build the product's images and give them to the nodes
#   k8s/cluster.sh load TAR…  make images of these archives (docker save's format) known to its nodes
#
# Needs Debian, root, and for the first time Go with its module proxy. Every node is a set of Linux
# namespaces, so that its processes, mounts, interfaces and firewall rules end with it.
# shellcheck source-path=SCRIPTDIR/cluster
set -eu
parts=$(cd "$(dirname "$0")" && pwd)/cluster
. "$parts/settings.sh"
. "$parts/packages.sh"
. "$parts/certificates.sh"
. "$parts/network.sh"
. "$parts/processes.sh"
. "$parts/nodes.sh"
. "$parts/control_plane.sh"
. "$parts/images.sh"
. "$parts/product.sh"
. "$parts/addons.sh"
. "$parts/life.sh"

case "${1:-}" in
up) cluster_up ;;
status) cluster_status ;;
down) cluster_down ;;
images)
    build_images
    load_images "$images"/*.tar
    ;;
load)
    shift
    load_images "$@"
    ;;
*)
    sed -n '2,/^# shellcheck/{/shellcheck/!s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
