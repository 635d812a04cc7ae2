# shellcheck shell=sh
# One authority, a certificate an identity, and the keys of service accounts and of secrets at rest.
make_certificates() {
    [ ! -e "$pki/.complete" ] || return 0
    mkdir -p "$pki"
    chmod 700 "$pki"
    authority ca
    authority front-proxy-ca   # of extension API servers, of which there are none: components ask for it
    openssl genrsa -out "$pki/accounts.key" 2048 2>/dev/null
    openssl rsa -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" 2>/dev/null
    certificate apiserver /CN=kube-apiserver "IP:$api,IP:127.0.0.1,IP:$service_network.1,DNS:kubernetes,\
DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$domain"
    certificate apiserver-kubelet /CN=kube-apiserver-kubelet-client
    identity admin /O=system:masters/CN=admin
    identity controller-manager /CN=system:kube-controller-manager
    identity scheduler /CN=system:kube-scheduler
    identity proxy /CN=system:kube-proxy
    identity policies /CN=coti:policies
    for each in $nodes; do
        identity "${each%:*}" "/O=system:nodes/CN=system:node:${each%:*}" \
            "IP:$network.$((${each#*:} + 1)),DNS:${each%:*}"
    done
    mv "$pki/admin.kubeconfig" "$kubeconfig"
    cat >"$pki/encryption.yaml" <<END
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox: {keys: [{name: key, secret: "$(openssl rand -base64 32)"}]}
      - identity: {}
END
    touch "$pki/.complete"
}

authority() { # NAME
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=coti-$1" \
        -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

certificate() { # NAME SUBJECT [ALTERNATIVE NAMES]
    openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
    {
        echo "keyUsage=digitalSignature,keyEncipherment"
        echo "extendedKeyUsage=clientAuth,serverAuth"
        [ -z "${3:-}" ] || echo "subjectAltName=$3"
    } >"$pki/$1.ext"
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial \
        -days 365 -extfile "$pki/$1.ext" -out "$pki/$1.crt" 2>/dev/null
    rm "$pki/$1.csr" "$pki/$1.ext"
}

identity() { # a certificate, and a kubeconfig that holds it
    certificate "$@"
    cat >"$pki/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
  - name: coti
    cluster:
      server: https://$api:6443
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$pki/$1.crt")
      client-key-data: $(base64 -w0 "$pki/$1.key")
contexts:
  - name: coti
    context: {cluster: coti, user: $1}
current-context: coti
END
    chmod 600 "$pki/$1.kubeconfig"
}
