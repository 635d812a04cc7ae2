#!/bin/sh
# The whole pipeline in containers of this machine, from nothing:
#
#   k8s/docker.sh            engine, base image, image, stack, then zenml pipeline run coti_concept
#   k8s/docker.sh image      as far as the image
#
# Needs Debian or Ubuntu, root for the engine and the base image, `make install` for the rest, and
# some 30 GB of disk. Whatever is there already is used: an engine that answers, COTI_BASE_IMAGE
# (then nothing is bootstrapped), COTI_IMAGE (the name of the image, coti:local). COTI_BUILD_ARGS goes
# to `docker build`. The base image is Debian's own packages: no registry of images is asked.
set -eu
cd "$(dirname "$0")/.."
image=${COTI_IMAGE:-coti:local}
base=${COTI_BASE_IMAGE:-}
suite=${COTI_DEBIAN_SUITE:-bookworm}
say() { echo "== $*" >&2; }

if [ "${1:-}" != image ] && [ ! -x .venv/bin/coti ]; then
    say "there is no .venv/bin/coti: run \`make install\` first"
    exit 1
fi

engine() {
    if docker info >/dev/null 2>&1; then return; fi
    if ! command -v dockerd >/dev/null; then
        say "installing Debian's Docker engine"
        apt-get update -q
        apt-get install -q -y --no-install-recommends docker.io debootstrap
    fi
    say "starting dockerd (its log: /tmp/dockerd.log)"
    dockerd >/tmp/dockerd.log 2>&1 &
    for _ in $(seq 60); do
        if docker info >/dev/null 2>&1; then return; fi
        sleep 1
    done
    tail -5 /tmp/dockerd.log >&2
    say "the Docker engine did not come up: see above"
    exit 1
}

base_image() {
    if [ -n "$base" ]; then return; fi
    base=coti-base:$suite
    if docker image inspect "$base" >/dev/null 2>&1; then return; fi
    say "bootstrapping Debian $suite"
    tar=$(mktemp)
    trap 'rm -f "$tar"' EXIT
    k8s/base_image.sh "$tar" "$suite"
    docker import "$tar" "$base" >/dev/null
    rm "$tar"
    trap - EXIT
}

engine
base_image
say "building $image on $base"
if docker buildx version >/dev/null 2>&1; then kit=1; else kit=0; fi
DOCKER_BUILDKIT=$kit docker build --network host -f k8s/Dockerfile --build-arg BASE_IMAGE="$base" \
    ${COTI_BUILD_ARGS:-} -t "$image" .
say "$image: $(docker image inspect -f '{{.Size}}' "$image" | awk '{printf "%.1f GB", $1 / 1e9}')"
if [ "${1:-}" = image ]; then exit; fi
export COTI_IMAGE="$image"
.venv/bin/coti stack up docker
.venv/bin/coti stack check
exec .venv/bin/zenml pipeline run coti_concept -c configs/docker.yaml
