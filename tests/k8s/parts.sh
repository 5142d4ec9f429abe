# What control-plane.sh, inside.sh and node.sh share. They set `dir`, `port` (of the API server), `address` (it listens
# there) and `etcd_port` first.

# A part dies with the shell that started it, however that ends.
start() { # NAME COMMAND…: a part of the cluster, in the background
    local name=$1
    shift
    setpriv --pdeathsig KILL -- "$@" >>"$dir/logs/$name.log" 2>&1 </dev/null &
}

wait_for() { # SECONDS COMMAND…
    local tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        ((tries-- > 0)) || { echo "not in time: $*" >&2; return 1; }
        sleep 0.05
    done
}

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# A certificate authority, the API server's certificate (also as a client of kubelets), the key of service accounts,
# and the token of the one user, who may do everything.
certificates() {
    local pki=$dir/pki
    [ ! -e "$pki/tokens.csv" ] || return 0
    key "$pki/ca.key"
    openssl req -x509 -new -key "$pki/ca.key" -out "$pki/ca.crt" -days 3650 -subj /CN=kubernetes-ca
    key "$pki/accounts.key"
    openssl ec -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub"
    key "$pki/api.key"
    openssl req -new -key "$pki/api.key" -out "$pki/api.csr" -subj "/O=system:masters/CN=kube-apiserver"
    openssl x509 -req -in "$pki/api.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
        -out "$pki/api.crt" -extfile <(
            echo "extendedKeyUsage=serverAuth,clientAuth"
            echo "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:10.244.0.1"
        )
    echo "$(openssl rand -hex 16),admin,admin,system:masters" >"$pki/tokens.csv"
}

kubeconfig() {
    cat >"$dir/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: tests
contexts: [{name: tests, context: {cluster: tests, user: admin}}]
users: [{name: admin, user: {token: $(cut -d, -f1 "$dir/pki/tokens.csv")}}]
clusters: [{name: tests, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $dir/pki/ca.crt}}]
YAML
    export KUBECONFIG=$dir/kubeconfig
}

# What service accounts other than Kubernetes' own ask for, and the answer's code: logs/audit.log, a JSON line each.
audit_policy() {
    cat >"$dir/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
YAML
}

# Who says that an object blocks the end of its owner must have a right to that, as on OpenShift.
api_server() {
    local pki=$dir/pki etcd=http://127.0.0.1:$etcd_port
    start etcd etcd --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn --listen-client-urls "$etcd" \
        --advertise-client-urls "$etcd" --listen-peer-urls "http://127.0.0.1:$((etcd_port + 1))"
    audit_policy
    start kube-apiserver kube-apiserver --etcd-servers "$etcd" --secure-port "$port" --bind-address "$address" \
        --advertise-address 10.244.0.1 --service-cluster-ip-range 10.96.0.0/16 --authorization-mode Node,RBAC \
        --tls-cert-file "$pki/api.crt" --tls-private-key-file "$pki/api.key" --client-ca-file "$pki/ca.crt" \
        --token-auth-file "$pki/tokens.csv" --kubelet-client-certificate "$pki/api.crt" \
        --kubelet-client-key "$pki/api.key" --kubelet-preferred-address-types InternalIP --allow-privileged \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/accounts.pub" \
        --service-account-signing-key-file "$pki/accounts.key" --audit-policy-file "$dir/audit.yaml" \
        --audit-log-path "$dir/logs/audit.log" --default-not-ready-toleration-seconds 10 \
        --default-unreachable-toleration-seconds 10 --v 1 \
        --enable-admission-plugins OwnerReferencesPermissionEnforcement
}

# A node is lost twelve seconds after its last sign of life, and its pods ten seconds later.
controllers() {
    local pki=$dir/pki
    start kube-controller-manager kube-controller-manager --kubeconfig "$KUBECONFIG" --leader-elect=false \
        --secure-port "$1" --bind-address 127.0.0.1 --use-service-account-credentials \
        --service-account-private-key-file "$pki/accounts.key" --root-ca-file "$pki/ca.crt" \
        --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
        --node-monitor-period 2s --node-monitor-grace-period 12s --kube-api-qps 200 --kube-api-burst 400
}

# The API for the tests: plain HTTP, all rights, on a socket that only this user can open.
api_socket() { start kubectl-proxy kubectl proxy --unix-socket "$dir/api.sock" --reject-paths '^$'; }

default_account() { kubectl get serviceaccount default --namespace default; }

# Ready: say so, and stay until standard input ends. Whoever holds it open may die as it likes.
hold() {
    date +%s >"$dir/ready.new"
    mv "$dir/ready.new" "$dir/ready"
    cat >/dev/null
}
