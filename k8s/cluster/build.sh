#!/bin/sh
# Builds Kubernetes' own programs, etcd and the pause image's program from the modules that go.mod and
# go.sum pin, into the cache; what is there already is built no second time.
#
#   k8s/cluster/build.sh FOLDER
#
# Only the Go module proxy is asked (GOPROXY is honoured). Two compilers at a time and a low priority:
# a build takes minutes, and the machine may have other work.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$1
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v.*\)$/\1/p' "$here/go.mod")
minor=${version#v1.}
minor=${minor%%.*}

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

build() { # module folder, packages…
    module=$1
    shift
    CGO_ENABLED=0 nice -n 10 go -C "$module" build -p 2 -trimpath -ldflags "-s -w $stamp" -o "$bin/" "$@"
}

mkdir -p "$bin"
build "$here" ./etcd ./pause \
    k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes/cmd/kubectl k8s.io/kubernetes/cmd/kube-apiserver \
    k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kube-scheduler \
    k8s.io/kubernetes/cmd/kube-proxy
