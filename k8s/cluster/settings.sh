# shellcheck shell=sh disable=SC2034  # read by the other parts
# Names, folders and addresses. The addresses live in namespaces of the cluster's own, but for the
# bridge to its nodes: COTI_CLUSTER_NETWORK moves that one out of another network's way.
state=${COTI_CLUSTER_STATE:-/var/lib/coti-cluster}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/coti-cluster
bin=$cache/bin
images=$cache/images
pki=$state/pki
kubeconfig=$state/admin.kubeconfig

bridge=coti-nodes
network=${COTI_CLUSTER_NETWORK:-10.111.0}      # nodes are .2, .3…; this machine is .1
pod_network=10.244                             # node N has 10.244.N.0/24
service_network=10.96.0
api=$network.2
dns=$service_network.10
domain=cluster.local

# A node's name and number. The first also has the control plane; `gpu` is labelled and tainted as a
# node with a GPU is, and says that it has one.
nodes=${COTI_CLUSTER_NODES:-"main:1 gpu:2"}

say() { echo "cluster: $*" >&2; }
die() {
    say "$@"
    exit 1
}
kubectl() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
wait_for() { # wait_for SECONDS WHAT COMMAND…: until the command succeeds
    seconds=$1 what=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        seconds=$((seconds - 1))
        [ "$seconds" -gt 0 ] || die "$what did not come up: see $state/log"
        sleep 1
    done
}
