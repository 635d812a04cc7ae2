# shellcheck shell=sh
# What a cluster has besides: names and volumes.
start_addons() {
    kubectl apply -f "$parts/storage.yaml" -f "$parts/dns.yaml" -f "$parts/policies.yaml" >/dev/null
    for number in 1 2 3 4 5 6; do volume "$number"; done | kubectl apply -f - >/dev/null
    kubectl -n kube-system rollout status deployment/coredns --timeout=2m >/dev/null
}

# Volumes lie on the first node, in folders that `down` removes; one that was given back is emptied
# and given out again.
volume() {
    name=disk-$1
    if [ "$(kubectl get pv "$name" -o 'jsonpath={.status.phase}' 2>/dev/null)" = Released ]; then
        kubectl delete pv "$name" >/dev/null
        rm -rf "$state/volumes/$name"
    fi
    mkdir -p "$state/volumes/$name"
    cat <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: 100Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: disks
  local: {path: $state/volumes/$name}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [main]}]
---
END
}
