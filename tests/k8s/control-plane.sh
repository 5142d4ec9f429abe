#!/usr/bin/env bash
# The API server and the controllers alone, on ports of 127.0.0.1: `up.sh DIR control-plane` runs it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1 port=$2 address=127.0.0.1 etcd_port=$(($2 + 1))
. "$here/parts.sh"

touch "$dir/alone"
certificates
kubeconfig
api_server
wait_for 60 kubectl get --raw /readyz
controllers $((port - 1))
api_socket
wait_for 30 default_account
wait_for 10 test -S "$dir/api.sock"
hold
