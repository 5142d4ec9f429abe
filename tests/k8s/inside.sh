#!/usr/bin/env bash
# Process 1 of the namespaces that up.sh makes: the control plane, the services' network, and the nodes.
#
# All nodes share one network: 10.244.0.1 is their address and the API server's, 10.244.I.0/24 are the pods of node I,
# each behind a link of its own, 10.96.0.0/16 the services. Nothing leads out of it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1 nodes=$2 cgroup=$3 port=6443 address=0.0.0.0 etcd_port=2379
. "$here/parts.sh"
. "$here/cgroups.sh"

# What runtimes write beside their own folders goes to memory, and with the namespace.
hide_the_host() {
    local folder
    for folder in /run /var/lib /var/log; do mount -t tmpfs none "$folder"; done
    mkdir -p /run/lock /var/log/pods
}

network() {
    ip link set lo up
    # Nothing is behind it, it only has an address; not every kernel has both kinds.
    ip link add nodes type bridge 2>/dev/null || ip link add nodes type dummy
    ip address add 10.244.0.1/32 dev nodes
    ip link set nodes up
    ip route add default dev nodes
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

services() {
    start kube-proxy kube-proxy --kubeconfig "$KUBECONFIG" --proxy-mode iptables --hostname-override node-1 \
        --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 --v 1
    cat >"$dir/Corefile" <<COREFILE
.:53 {
  bind 10.244.0.1
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $KUBECONFIG
    ttl 1
  }
}
COREFILE
    start coredns coredns -conf "$dir/Corefile"
}

nodes_ready() { [ "$(kubectl get nodes --no-headers | grep -cw Ready)" -ge "$nodes" ]; }

hide_the_host
see_own_cgroups "$cgroup"
network
certificates
kubeconfig
api_server
wait_for 60 kubectl get --raw /readyz
controllers 10257
start kube-scheduler kube-scheduler --kubeconfig "$KUBECONFIG" --leader-elect=false
services
api_socket
for ((node = 1; node <= nodes; node++)); do
    "$BASH" "$here/node.sh" "$dir" "$node" &
done
[ "$nodes" = 0 ] || wait_for 60 nodes_ready
wait_for 30 default_account
wait_for 10 test -S "$dir/api.sock"
hold
