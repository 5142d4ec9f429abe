#!/usr/bin/env bash
# A real Kubernetes on this machine for tests, in namespaces of its own (network, mounts, processes).
#
#   up.sh DIR [start] [NODES]    start it in the background: the control plane, and NODES nodes (1), each in a zone
#   up.sh DIR run [NODES]        the same in the foreground; it ends when its standard input does
#   up.sh DIR control-plane [P]  API server and controllers alone: no nodes, no root; on port P (16443) of 127.0.0.1
#                                (P-1 to P+2 are used), in the foreground as with `run`
#   up.sh DIR exec COMMAND…      run a command in its network, where pods and services are reachable
#   up.sh DIR load ARCHIVE…      give every node an image (image.sh makes archives)
#   up.sh DIR node I             start node I again, after it was killed
#   up.sh DIR down               end all of it, whatever happened inside
#
# State, logs, kubeconfig and the API (api.sock: plain HTTP, all rights) are in DIR. `ready` appears there once it is.
# Images are never pulled. Nodes need root and what `tests/setup.sh kubernetes` installs; programs come from
# REDISNODE_KUBERNETES_BIN, or else from binaries.sh. Nothing is left but DIR.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 2; }
. "$here/cgroups.sh"
die() { echo "$*" >&2; exit 1; }

mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
case $dir/ in
    /run/* | /var/lib/* | /var/log/*) die "$dir is hidden inside the namespaces: choose a folder elsewhere" ;;
esac
case ${1-start} in [0-9]*) set -- start "$1" ;; esac
command=${1-start}
[ $# -eq 0 ] || shift

outer() { cat "$dir/pid" 2>/dev/null; }
alive() { [ -n "$(outer)" ] && kill -0 "$(outer)" 2>/dev/null; }
# Process 1 of the namespaces is the one child of the program that made them.
first_process() {
    local pid
    pid=$(cat "/proc/$(outer)/task/$(outer)/children" 2>/dev/null | cut -d' ' -f1)
    [ -n "$pid" ] || die "nothing is up in $dir"
    echo "$pid"
}

prepare() {
    ! alive || die "something is up in $dir already: 'up.sh $dir down' ends it"
    if [ -z "${REDISNODE_KUBERNETES_BIN:-}" ]; then
        REDISNODE_KUBERNETES_BIN=$here/../../target/kubernetes
        "$here/binaries.sh" "$REDISNODE_KUBERNETES_BIN"
    fi
    [ -x "$REDISNODE_KUBERNETES_BIN/kube" ] || die "there is no Kubernetes in $REDISNODE_KUBERNETES_BIN: run binaries.sh $REDISNODE_KUBERNETES_BIN"
    PATH=$(cd "$REDISNODE_KUBERNETES_BIN" && pwd):$PATH:/usr/sbin:/sbin
    export PATH
    rm -rf "$dir"/{ready,api.sock,etcd,logs,node-*}
    mkdir -p "$dir"/{pki,logs,etcd}
}
pause_image() {
    local archive=$REDISNODE_KUBERNETES_BIN/pause.tar
    if [ ! -e "$archive" ] || [ "$here/images.sh" -nt "$archive" ]; then
        "$here/images.sh" "$archive.$$" pause
        mv "$archive.$$" "$archive"
    fi
    cp "$archive" "$dir/pause.tar"
}

run() { # NODES
    prepare
    [ "$(id -u)" = 0 ] || die "nodes need root: 'up.sh DIR control-plane' does without"
    remove_stale_cgroups
    pause_image
    # What holds the namespaces is a child, so that there is somebody to clean up after it.
    in_cgroups "${1:-1}" >"$dir/logs/up.log" 2>&1 <&0 &
    wait $! || true
    clean_up
}

in_cgroups() { # NODES
    local name=redisnode-$BASHPID
    echo "$BASHPID" >"$dir/pid"
    enter_cgroups "$name"
    exec unshare --cgroup "$BASH" -c '. "$1/cgroups.sh"; leave_the_branch "$2"; shift 2; exec "$@"' - "$here" "$name" \
        unshare --net --mount --pid --fork --kill-child --mount-proc "$BASH" "$here/inside.sh" "$dir" "$1" "$name"
}

clean_up() {
    local pid tries
    pid=$(outer) || return 0
    for ((tries = 0; tries < 100; tries++)); do
        ! kill -0 "$pid" 2>/dev/null && remove_cgroups "redisnode-$pid" && break
        sleep 0.05
    done
    rm -f "$dir"/{pid,ready,hold}
    # Who started it may be gone, and then nobody else does this.
    if [ "${REDISNODE_REMOVE_DIR:-}" = "$dir" ]; then rm -rf "$dir"; fi
}

start() { # NODES
    # A pipe that is open for reading and writing never ends, so neither does what reads from it.
    rm -f "$dir/hold"
    mkfifo "$dir/hold"
    setsid "$BASH" "$here/up.sh" "$dir" run "${1:-1}" 0<>"$dir/hold" >"$dir/start.log" 2>&1 &
    local child=$! tries
    for ((tries = 0; tries < 1200; tries++)); do
        [ ! -e "$dir/ready" ] || return 0
        kill -0 "$child" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$dir/start.log" "$dir"/logs/*.log >&2 || true
    "$here/up.sh" "$dir" down
    die "Kubernetes did not come up; its logs are in $dir/logs"
}

down() {
    kill -9 "$(outer)" 2>/dev/null || true
    clean_up
}

case $command in
    start) start "${1:-1}" ;;
    run) run "${1:-1}" ;;
    control-plane)
        prepare
        "$BASH" "$here/control-plane.sh" "$dir" "${1:-16443}" >"$dir/logs/up.log" 2>&1 <&0 &
        echo $! >"$dir/pid"
        wait $! || true
        clean_up
        ;;
    exec)
        export KUBECONFIG=$dir/kubeconfig
        if [ -e "$dir/alone" ]; then exec "$@"; fi
        exec nsenter --net="/proc/$(first_process)/ns/net" "$@"
        ;;
    load)
        first_process >/dev/null
        imports=()
        for socket in "$dir"/node-*/containerd.sock; do
            (for archive; do ctr --address "$socket" --namespace k8s.io images import "$archive" >/dev/null; done) &
            imports+=($!)
        done
        for import in "${imports[@]}"; do wait "$import"; done
        ;;
    node)
        pid=$(first_process)
        nsenter --target "$pid" --cgroup --net --mount --pid \
            "$BASH" "$here/node.sh" "$dir" "$1" \
            </dev/null >>"$dir/logs/up.log" 2>&1
        ;;
    down) down ;;
    *) die "no such command: $command" ;;
esac
