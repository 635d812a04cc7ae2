# shellcheck shell=sh
# etcd, API server, controllers and scheduler, on the first node.
start_control_plane() {
    start main etcd "$bin/etcd" --data-dir "$state/etcd" --name main --log-level warn --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    start main apiserver "$bin/kube-apiserver" \
        --etcd-servers http://127.0.0.1:2379 --advertise-address "$api" --secure-port 6443 \
        --service-cluster-ip-range "$service_network.0/16" \
        --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" \
        --tls-private-key-file "$pki/apiserver.key" \
        --requestheader-client-ca-file "$pki/front-proxy-ca.crt" \
        --requestheader-allowed-names front-proxy-client \
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --kubelet-certificate-authority "$pki/ca.crt" \
        --kubelet-client-certificate "$pki/apiserver-kubelet.crt" \
        --kubelet-client-key "$pki/apiserver-kubelet.key" \
        --kubelet-preferred-address-types InternalIP \
        --service-account-issuer "https://kubernetes.default.svc.$domain" \
        --service-account-key-file "$pki/accounts.pub" \
        --service-account-signing-key-file "$pki/accounts.key" \
        --encryption-provider-config "$pki/encryption.yaml" \
        --authorization-mode Node,RBAC \
        --enable-admission-plugins NodeRestriction,PodSecurity,ServiceAccount,ResourceQuota,LimitRanger
    wait_for 120 "the API server" kubectl get --raw /readyz
    start_controllers
}

start_controllers() {
    start main controller-manager "$bin/kube-controller-manager" \
        --kubeconfig "$pki/controller-manager.kubeconfig" --use-service-account-credentials \
        --authentication-kubeconfig "$pki/controller-manager.kubeconfig" \
        --authorization-kubeconfig "$pki/controller-manager.kubeconfig" \
        --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/accounts.key" \
        --leader-elect=false
    start main scheduler "$bin/kube-scheduler" --kubeconfig "$pki/scheduler.kubeconfig" \
        --authentication-kubeconfig "$pki/scheduler.kubeconfig" \
        --authorization-kubeconfig "$pki/scheduler.kubeconfig" --leader-elect=false
    # What the API server may do on a node: logs, exec, forwarding.
    kubectl apply -f - >/dev/null <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: apiserver-kubelet}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:kubelet-api-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: kube-apiserver-kubelet-client}]
END
}
