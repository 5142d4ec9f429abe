#!/usr/bin/env bash
# One node: containerd and a kubelet, in the namespaces that up.sh made. `node.sh DIR I`; returns when both run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1 index=$2
. "$here/parts.sh"
export KUBECONFIG=$dir/kubeconfig
home=$dir/node-$index
socket=$home/containerd.sock
mkdir -p "$home"/{cni,kubelet,plugins,pods}

# A pod's link is its own (ptp), so that what one pod sends another always passes the services' rules.
cat >"$home/cni/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods-$index", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "$home/addresses",
   "ranges": [[{"subnet": "10.244.$index.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON

cat >"$home/containerd.toml" <<TOML
version = 2
root = "$home/containerd"
state = "$home/run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "redisnode.test/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$home/cni"
TOML

cat >"$home/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$socket
port: $((10250 + index * 10))
healthzPort: $((10251 + index * 10))
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
nodeStatusUpdateFrequency: 3s
syncFrequency: 10s
podLogsDir: $home/pods
volumePluginDir: $home/plugins
clusterDomain: cluster.local
clusterDNS: [10.244.0.1]
resolvConf: ""
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
YAML

for part in containerd kubelet; do
    ! pgrep -f -- "$part .*$home/" >/dev/null || { echo "node-$index: $part runs already" >&2; exit 1; }
done
# These two outlive this shell: the namespace ends them.
setsid containerd --config "$home/containerd.toml" </dev/null >>"$dir/logs/containerd-$index.log" 2>&1 &
wait_for 20 ctr --address "$socket" version
ctr --address "$socket" --namespace k8s.io images import "$dir/pause.tar" >/dev/null
setsid kubelet --config "$home/kubelet.yaml" --kubeconfig "$KUBECONFIG" --root-dir "$home/kubelet" \
    --cert-dir "$home/kubelet/pki" --hostname-override "node-$index" --node-ip 10.244.0.1 --v 1 \
    --node-labels "topology.kubernetes.io/zone=zone-$index,topology.kubernetes.io/region=here" \
    </dev/null >>"$dir/logs/kubelet-$index.log" 2>&1 &
