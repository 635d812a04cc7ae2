#!/bin/sh
# A node's first process: makes what it mounts its own, then waits as pause does. When it ends, the
# kernel ends all of the node. Called by nodes.sh inside new namespaces: NODE-FOLDER PAUSE.
set -eu
folder=$1 pause=$2
# A fresh /sys shows the node's own interfaces; control groups are the machine's.
mkdir -p "$folder/sys-cgroup"
mount --rbind /sys/fs/cgroup "$folder/sys-cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$folder/sys-cgroup" /sys/fs/cgroup
umount -l "$folder/sys-cgroup"   # while nothing travels: else the other goes with it
# What containerd, kubelet and the CNI plugins write at fixed places.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for place in lib/kubelet lib/cni log; do
    mkdir -p "$folder/var/$place"
    mount --bind "$folder/var/$place" "/var/$place"
done
# Volumes are mounted by kubelet and seen by containers: from here on mounts travel.
mount --make-rshared /
hostname "${folder##*/}"
exec "$pause"
