# shellcheck shell=sh
# A node: namespaces, containerd, kubelet, kube-proxy.
start_node() { # NAME NUMBER
    folder=$state/$1
    if ! alive "$folder/init.pid"; then
        rm -rf "$folder"/*.pid "$folder/cni" "$folder/kubelet"
        mkdir -p "$folder" "$state/log" "$folder/kubelet"
        mkdir -p /var/lib/kubelet /var/lib/cni
        setsid unshare --mount --net --pid --uts --ipc --fork --mount-proc \
            sh "$parts/node_init.sh" "$folder" "$bin/pause" >>"$state/log/$1-init.log" 2>&1 </dev/null &
        outside=$!
        wait_for 10 "node $1" pgrep -P "$outside" -x pause
        init=$(pgrep -P "$outside" -x pause)
        echo "$init $(start_time "$init")" >"$folder/init.pid"
        connect_node "$1" "$2" "$init"
    fi
    pod_network_of "$1" "$2"
    make_cgroup "$1"
    containerd_settings "$1"
    start "$1" containerd containerd --config "$folder/containerd.toml"
    wait_for 30 "containerd on $1" node_ctr "$1" version
}

make_cgroup() { # kubelet wants its root there, in every hierarchy, with processors and memory
    [ -d /sys/fs/cgroup/cpuset ] || die "control groups are not in version 1's folders here: not tried yet"
    for each in /sys/fs/cgroup/*/; do
        mkdir -p "$each/coti-cluster/$1"
    done
    for each in coti-cluster "coti-cluster/$1"; do
        for file in cpus mems; do
            cat "/sys/fs/cgroup/cpuset/cpuset.$file" >"/sys/fs/cgroup/cpuset/$each/cpuset.$file"
        done
    done
}

containerd_settings() {
    # Kept beyond `down`: images are gigabytes.
    mkdir -p "$cache/containerd/$1"
    cat >"$state/$1/containerd.toml" <<END
version = 2
root = "$cache/containerd/$1"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/coti/pause:1"
  disable_apparmor = true
  # A machine may withhold the right to lower a score (CAP_SYS_RESOURCE): a pod keeps containerd's.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/$1/cni.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
END
}

node_ctr() { # NODE ARGUMENTS…
    node=$1
    shift
    in_node "$node" ctr --namespace k8s.io "$@"
}

start_kubelet() { # NAME NUMBER
    echo "nameserver 127.0.0.1" >"$state/$1/resolv.conf"   # pods ask CoreDNS, which asks nobody
    cat >"$state/$1/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /coti-cluster/$1
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/$1.crt
tlsPrivateKeyFile: $pki/$1.key
clusterDNS: [$dns]
clusterDomain: $domain
resolvConf: $state/$1/resolv.conf
volumePluginDir: $state/$1/volume-plugins
# Nothing can be pulled again: no image is thrown away for its age or for want of space.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 200Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
evictionPressureTransitionPeriod: 30s
END
    [ "$1" != gpu ] || set -- "$@" --register-with-taints=nvidia.com/gpu=present:NoSchedule \
        --node-labels=nvidia.com/gpu.present=true
    name=$1 number=$2
    shift 2
    start "$name" kubelet "$bin/kubelet" --config "$state/$name/kubelet.yaml" \
        --kubeconfig "$pki/$name.kubeconfig" --hostname-override "$name" \
        --node-ip "$network.$((number + 1))" --root-dir "$state/$name/kubelet" "$@"
}

start_proxy() { # NAME
    cat >"$state/$1/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $pki/proxy.kubeconfig}
hostnameOverride: $1
mode: iptables
clusterCIDR: $pod_network.0.0/16
# The machine's own limits stand.
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
    start "$1" proxy "$bin/kube-proxy" --config "$state/$1/proxy.yaml"
}

# NetworkPolicies, which neither kubelet nor the bridge plugin knows of: kube-router, of whose three
# jobs only this one is asked for.
start_policies() { # NAME
    start "$1" policies "$bin/kube-router" --kubeconfig "$pki/policies.kubeconfig" \
        --hostname-override "$1" --run-firewall --run-router=false --run-service-proxy=false \
        --service-cluster-ip-range "$service_network.0/16" --metrics-port 0
}
