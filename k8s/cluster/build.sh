#!/bin/sh
# Builds Kubernetes' own programs, etcd, CoreDNS, kube-router and the pause image's program from the
# modules that go.mod and go.sum pin, into the cache; what is there already is built no second time.
#
#   k8s/cluster/build.sh FOLDER
#
# Only the Go module proxy is asked (GOPROXY is honoured). Two compilers at a time and a low priority:
# a build takes minutes, and the machine may have other work.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$1
version=$(sed -n "s/^\(require \|\t\)k8s.io\/kubernetes \(v[^ ]*\).*/\2/p" "$here/go.mod")
minor=${version#v1.}
minor=${minor%%.*}

# go build finds out by itself, within a minute; this within a second.
sources=$(cat "$here"/go.* "$here"/*/go.* "$here"/*/*.go "$here/build.sh" | sha256sum)
[ "$(cat "$bin/.sources" 2>/dev/null)" != "$sources" ] || exit 0

command -v go >/dev/null || {
    echo "cluster: there is no Go here: install Go $(sed -n 's/^go //p' "$here/go.mod") or newer" >&2
    exit 1
}

# What the programs say of themselves, and what kubelet and API server compare.
stamp=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp="$stamp -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    stamp="$stamp -X $package.gitTreeState=clean"
done

build() { # module's folder, then go build's own arguments
    module=$1
    shift
    CGO_ENABLED=0 nice -n 10 go -C "$module" build -p 2 -trimpath -ldflags "-s -w $stamp" "$@"
}

mkdir -p "$bin"
build "$here" -o "$bin/" ./etcd ./pause
for each in kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl; do
    build "$here" -o "$bin/" "k8s.io/kubernetes/cmd/$each"
done
build "$here/dns" -o "$bin/coredns" .
build "$here/policies" -o "$bin/" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
echo "$sources" >"$bin/.sources"
