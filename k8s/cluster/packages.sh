# shellcheck shell=sh
# Debian's own: containerd, runc, the CNI plugins and the tools that kubelet and kube-proxy call.
install_packages() {
    [ "$(id -u)" = 0 ] || die "a cluster needs root: mounts, namespaces and control groups"
    missing=
    while read -r package program; do
        [ -e "$program" ] || missing="$missing $package"
    done <<END
containerd /usr/bin/containerd
runc /usr/sbin/runc
containernetworking-plugins /usr/lib/cni/bridge
iptables /usr/sbin/iptables
ipset /usr/sbin/ipset
conntrack /usr/sbin/conntrack
iproute2 /usr/sbin/ip
socat /usr/bin/socat
openssl /usr/bin/openssl
jq /usr/bin/jq
END
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "missing, and no apt-get to install it:$missing"
    say "installing Debian's$missing"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -q -y \
        --no-install-recommends $missing >/dev/null
}
