# shellcheck shell=sh
# Images without a registry: archives in docker save's format, given to every node's containerd.
program_image() { # NAME PROGRAM ARGUMENTS…: one static program, nothing else
    archive=$images/$1.tar program=$2
    [ -e "$archive" ] && [ ! "$program" -nt "$archive" ] && return
    name=$1
    shift 2
    mkdir -p "$images"
    folder=$(mktemp -d)
    mkdir "$folder/root"
    cp "$program" "$folder/root/$name"
    tar -C "$folder/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$folder/layer.tar" .
    layer=$(sha256sum <"$folder/layer.tar" | cut -d' ' -f1)
    jq -n --arg layer "sha256:$layer" --arg name "$name" '{architecture: "amd64", os: "linux",
        config: {Entrypoint: ["/\($name)"], User: "65535:65535"},
        rootfs: {type: "layers", diff_ids: [$layer]}}' >"$folder/config.json"
    jq -n --arg name "localhost/coti/$name:1" \
        '[{Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"]}]' >"$folder/manifest.json"
    tar -C "$folder" -cf "$archive" manifest.json config.json layer.tar
    rm -r "$folder"
}

load_images() { # ARCHIVE…: once each; prints name@digest, the form in which manifests name them
    for archive; do
        sum=$(stat -c '%s-%Y' "$archive")
        for each in $nodes; do
            node=${each%:*}
            mark=$cache/containerd/$node/.loaded-$(basename "$archive")-$sum
            [ -e "$mark" ] && continue
            in_node "$node" ctr --namespace k8s.io images import "$archive" >/dev/null
            touch "$mark"
        done
    done
}
