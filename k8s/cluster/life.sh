# shellcheck shell=sh
# Up, down, status.
cluster_up() {
    began=$(date +%s)
    install_packages
    timed build "$parts/build.sh" "$bin"
    mkdir -p "$state/log"
    chmod 700 "$state"
    keep_sysctls
    make_certificates
    make_bridge
    program_image pause "$bin/pause"
    program_image coredns "$bin/coredns"
    for each in $nodes; do timed "node ${each%:*}" start_node "${each%:*}" "${each#*:}"; done
    timed images load_images "$images"/*.tar
    timed "control plane" start_control_plane
    for each in $nodes; do
        start_kubelet "${each%:*}" "${each#*:}"
        start_proxy "${each%:*}"
        start_policies "${each%:*}"
    done
    timed "nodes ready" nodes_ready
    timed addons start_addons
    say "up after $(($(date +%s) - began)) s: export KUBECONFIG=$kubeconfig"
}

timed() { # WHAT COMMAND…
    what=$1 since=$(date +%s)
    shift
    "$@"
    say "$what: $(($(date +%s) - since)) s"
}

nodes_ready() {
    for each in $nodes; do
        wait_for 120 "node ${each%:*}" kubectl wait --for=condition=Ready "node/${each%:*}" --timeout=1s
    done
    # A device plugin would say so: none is here, and no device.
    case "$nodes" in *gpu:*) ;; *) return 0 ;; esac
    kubectl patch node gpu --subresource=status --type=merge \
        -p '{"status": {"capacity": {"nvidia.com/gpu": "1"}, "allocatable": {"nvidia.com/gpu": "1"}}}' >/dev/null
}

# kubelet sets some of the machine's own switches: they are put back.
switches="vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes"
keep_sysctls() {
    [ ! -e "$state/sysctls" ] || return 0
    for each in $switches; do echo "$each $(cat "/proc/sys/$each")"; done >"$state/sysctls"
}
restore_sysctls() {
    [ -e "$state/sysctls" ] || return 0
    while read -r each value; do echo "$value" >"/proc/sys/$each"; done <"$state/sysctls"
}

cluster_status() {
    if ! kubectl get --raw /readyz >/dev/null 2>&1; then
        say "down"
        return 1
    fi
    echo "Kubernetes $(kubectl version -o json | jq -r .serverVersion.gitVersion), $("$bin/etcd" --version | head -n 1)"
    echo "$(containerd --version | cut -d' ' -f1,3), $(runc --version | head -n 1), kernel $(uname -r)"
    echo "KUBECONFIG=$kubeconfig"
    kubectl get nodes -o wide
    kubectl get pods --all-namespaces
    list_images
}

cluster_down() {
    for each in $nodes; do
        file=$state/${each%:*}/init.pid
        if alive "$file"; then
            kill -9 "$(cut -d' ' -f1 "$file")"
            wait_for 30 "the end of ${each%:*}" not alive "$file"
        fi
    done
    ip link delete "$bridge" 2>/dev/null || true
    restore_sysctls
    # Deepest first: a control group with others in it stays.
    for each in /sys/fs/cgroup/*/coti-cluster; do
        [ ! -d "$each" ] || find "$each" -depth -type d -exec rmdir {} +
    done
    rm -rf "$state"
    rmdir /var/lib/kubelet /var/lib/cni 2>/dev/null || true
    say "down; $cache is kept"
}
not() { ! "$@"; }
