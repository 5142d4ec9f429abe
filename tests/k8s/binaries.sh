#!/usr/bin/env bash
# Kubernetes' programs for the tests: one that is every part by name (build/main.go), and helm.
#
#   binaries.sh OUT     OUT/{kube,helm} and a link for each part are there afterwards
#
# Taken, in this order, from the folder REDISNODE_KUBERNETES, from a copy beside the checkout (shared/k8s), from the
# cache of an earlier build; built from Go modules otherwise, which takes ten minutes. Packed ones (.zst) are unpacked.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
say() { echo "$*" >&2; }

# One at a time: two test runs would build the same.
exec 9>"$out/.lock"
flock 9

sources=$(cat "$here"/build/{go.mod,go.sum,main.go} | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/redisnode/kubernetes-$sources

parts() {
    local name
    for name in coredns etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do
        ln -sf kube "$out/$name"
    done
}

take() { # FOLDER: its kube and helm, packed or not
    local name
    for name in kube helm; do
        if [ -x "$1/$name" ]; then
            ln -sf "$(realpath "$1/$name")" "$out/$name"
        elif [ -e "$1/$name.zst" ]; then
            zstd -dqf "$1/$name.zst" -o "$out/$name.new"
            chmod +x "$out/$name.new"
            mv "$out/$name.new" "$out/$name"
        else
            return 1
        fi
    done
    parts
    "$out/kubectl" version --client >/dev/null 2>&1 || { say "the Kubernetes of $1 does not run here"; return 1; }
}

# The toolchain that build/go.mod asks for: the installed Go if it is new enough (or fetches what is), else the
# toolchain's own module, for which any Go will do: Debian's, if there is none.
toolchain() {
    local wanted module
    export PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
    if ! command -v go >/dev/null; then
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
            { say "Kubernetes must be built, and there is no Go: install Go, then try again"; return 1; }
        say "installing Debian's Go"
        apt-get -qq -y --no-install-recommends install golang-go >/dev/null 2>&1 ||
            { apt-get -qq update && apt-get -qq -y --no-install-recommends install golang-go; } >&2
    fi
    ! (cd "$here/build" && go list -m >/dev/null 2>&1) || return 0
    ! (cd "$here/build" && GOTOOLCHAIN=auto go list -m >/dev/null 2>&1) || { export GOTOOLCHAIN=auto; return 0; }
    wanted=$(sed -n 's/^go //p' "$here/build/go.mod")
    module=golang.org/toolchain@v0.0.1-go$wanted.linux-$(go env GOARCH)
    say "fetching Go $wanted"
    (cd / && GOTOOLCHAIN=local GOFLAGS=-modcacherw go mod download "$module") >&2
    module=$(go env GOMODCACHE)/$module
    chmod -R +x "$module/bin" "$module/pkg/tool"
    export PATH=$module/bin:$PATH GOTOOLCHAIN=local
    (cd "$here/build" && go list -m >/dev/null)
}

build() {
    local version package=k8s.io/component-base/version
    toolchain
    say "building Kubernetes from Go modules: ten minutes with two cores, once"
    mkdir -p "$cache.new"
    cd "$here/build"
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    export CGO_ENABLED=0
    nice go build -trimpath -o "$cache.new/kube" -ldflags "-s -w -X $package.gitVersion=$version \
        -X $package.gitMajor=1 -X $package.gitMinor=$(echo "$version" | cut -d. -f2)" .
    nice go build -trimpath -o "$cache.new/helm" -ldflags "-s -w" helm.sh/helm/v3/cmd/helm
    rm -rf "$cache"
    mv "$cache.new" "$cache"
}

if [ "$(cat "$out/.sources" 2>/dev/null)" = "$sources" ] && [ -x "$out/kube" ] && [ -x "$out/helm" ]; then exit 0; fi
take_any() { # FOLDER…: the first that has them
    local folder
    for folder; do
        [ -z "$folder" ] || ! take "$folder" || return 0
    done
    return 1
}
if ! take_any "${REDISNODE_KUBERNETES:-}" "$here/../../../shared/k8s" "$cache"; then
    build
    take "$cache"
fi
echo "$sources" >"$out/.sources"
