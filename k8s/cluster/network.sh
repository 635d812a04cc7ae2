# shellcheck shell=sh
# A bridge to the nodes, and routes between their pods. Nothing of this machine's own firewall is
# touched, and no pod reaches beyond the bridge.
make_bridge() {
    ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
    ip address replace "$network.1/24" dev "$bridge"
    ip link set "$bridge" up
}

connect_node() { # NAME NUMBER PID: its eth0 on the bridge, routes to the others' pods
    address=$network.$(($2 + 1))
    ip link add "coti-$1" type veth peer name eth0 netns "$3"
    ip link set "coti-$1" master "$bridge" up
    in_node "$1" ip link set lo up
    in_node "$1" ip address add "$address/24" dev eth0
    in_node "$1" ip link set eth0 up
    in_node "$1" ip route add default via "$network.1"
    for other in $nodes; do
        number=${other#*:}
        [ "$number" = "$2" ] ||
            in_node "$1" ip route add "$pod_network.$number.0/24" via "$network.$((number + 1))"
    done
    in_node "$1" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

# What containerd asks for a pod's interface. Each has a wire of its own to the node (ptp): on a common
# bridge the answers of a service's pod went past the firewall that has to turn their address back.
pod_network_of() { # NAME NUMBER
    mkdir -p "$state/$1/cni.d"
    cat >"$state/$1/cni.d/10-pods.conflist" <<END
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local", "dataDir": "$state/$1/cni/networks",
        "ranges": [[{"subnet": "$pod_network.$2.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
}
