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

load_images() { # ARCHIVE…: once each, also under name@digest, the form in which manifests name them
    for archive; do
        [ -e "$archive" ] || continue
        name=localhost/coti/$(basename "$archive" .tar)
        for each in $nodes; do
            node=${each%:*}
            mark=$cache/containerd/$node/$(basename "$archive").loaded-$(stat -c '%s-%Y' "$archive")
            [ ! -e "$mark" ] || continue
            rm -f "$cache/containerd/$node/$(basename "$archive").loaded"-*
            node_ctr "$node" images import "$archive" >/dev/null
            node_ctr "$node" images tag --force "$name:1" "$name@$(image_digest "$node" "$name:1")" >/dev/null
            touch "$mark"
        done
    done
}

image_digest() { # NODE NAME
    node_ctr "$1" images list "name==$2" | awk 'NR == 2 {print $3}'
}

list_images() { # what manifests call them
    node_ctr main images list | awk '$1 ~ "^localhost/coti/.*:1$" {sub(":1$", "", $1); print $1 "@" $3}'
}
