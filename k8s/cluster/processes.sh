# shellcheck shell=sh
# Processes of a node: inside its namespaces, by name, with a log and the process's number here.
in_node() { # NODE COMMAND…
    node=$1
    shift
    nsenter --target "$(cut -d' ' -f1 "$state/$node/init.pid")" --mount --net --pid --uts --ipc -- "$@"
}

alive() { # FILE: whether the process whose number it holds is there, and is no other's
    [ -s "$1" ] && read -r pid started <"$1" && [ "$(start_time "$pid")" = "$started" ]
}

start_time() { # clock ticks since boot: a number that is used again has another
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

start() { # NODE NAME COMMAND…: unless it runs
    node=$1 name=$2
    shift 2
    file=$state/$node/$name.pid
    ! alive "$file" || return 0
    # The shell in the node becomes the program; who it is here, only the namespace's outside knows.
    setsid nsenter --target "$(cut -d' ' -f1 "$state/$node/init.pid")" \
        --mount --net --pid --uts --ipc -- "$@" >>"$state/log/$node-$name.log" 2>&1 </dev/null &
    outside=$!
    tries=50
    while ! inside=$(pgrep -P "$outside"); do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "$name ended at once: $(tail -n 3 "$state/log/$node-$name.log")"
        sleep 0.1
    done
    echo "$inside $(start_time "$inside")" >"$file"
}
