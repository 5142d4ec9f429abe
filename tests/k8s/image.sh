#!/usr/bin/env bash
# A container image from a folder, without any engine, the same bytes from the same files.
#
#   image.sh NAME:TAG FOLDER OUT.tar [--user ID[:GID]] [--env NAME=VALUE]… [--workdir PATH] [--entrypoint WORD…]
#
# OUT.tar is what `docker save` would write: `docker load`, `podman load` and `ctr images import` take it.
# --entrypoint comes last. Words and values go into JSON, so quotes and backslashes in them are refused.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
name=$1 folder=$2 out=$3
shift 3

json() { # WORD: a JSON string
    case $1 in *[\"\\]*) echo "a quote or a backslash in an image's setting: $1" >&2; exit 2 ;; esac
    printf '"%s"' "$1"
}
list() { # WORD…: a JSON list
    local word separator=
    for word; do
        printf '%s' "$separator"
        json "$word"
        separator=,
    done
}

user= workdir=/ entrypoint=() environment=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
while [ $# -gt 0 ]; do
    case $1 in
        --user) user=$2; shift 2 ;;
        --env) environment+=("$2"); shift 2 ;;
        --workdir) workdir=$2; shift 2 ;;
        --entrypoint) shift; entrypoint=("$@"); break ;;
        *) echo "image.sh does not know $1" >&2; exit 2 ;;
    esac
done
case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac

work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
archive() { # FOLDER OUT: sorted, without times and owners
    (cd "$1" && shopt -s dotglob && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -cf "$2" -- *)
}

mkdir "$work/image"
archive "$folder" "$(realpath "$work")/image/layer.tar"
digest=$(sha256sum <"$work/image/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","config":{"User":%s,"WorkingDir":%s,"Env":[%s],"Entrypoint":[%s]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$architecture" "$(json "$user")" "$(json "$workdir")" "$(list "${environment[@]}")" "$(list "${entrypoint[@]}")" "$digest" >"$work/config"
config=$(sha256sum <"$work/config" | cut -d' ' -f1).json
mv "$work/config" "$work/image/$config"
printf '[{"Config":"%s","RepoTags":[%s],"Layers":["layer.tar"]}]' "$config" "$(json "$name")" >"$work/image/manifest.json"
archive "$work/image" "$(realpath "$work")/out.tar"
mv "$work/out.tar" "$out"
