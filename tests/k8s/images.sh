#!/usr/bin/env bash
# The images that tests run in pods, made without an engine and without a registry.
#
#   images.sh OUT.tar pause                  redisnode.test/pause:1, what holds a pod's namespaces
#   images.sh OUT.tar program IMAGE NAME FILE    a static program alone, as user 65532
#   images.sh OUT.tar server IMAGE KIND FOLDER   a real server: FOLDER is what servers.sh made of a family (its root, or
#                                                else the installed program with its libraries)
#
# A server's image also has a shell and the usual small programs (busybox), as stock images have.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
out=$1 what=$2
shift 2

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# A static busybox: the installed one, or else Debian's package, unpacked and not installed, and kept beside OUT.
busybox() { # FILE
    local deb kept
    kept=$(dirname "$out")/busybox
    if [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; then cp /bin/busybox "$1"; return; fi
    [ ! -x "$kept" ] || { cp "$kept" "$1"; return; }
    deb=$(mktemp -d)
    # apt's own user cannot write here, and says so, unless told that it need not be that user.
    (cd "$deb" && { apt-get -qq -o APT::Sandbox::User="$(id -un)" download busybox-static ||
        { apt-get -qq update && apt-get -qq -o APT::Sandbox::User="$(id -un)" download busybox-static; }; }) >&2
    dpkg -x "$deb"/busybox-static*.deb "$deb/root"
    cp "$(find "$deb/root" -type f -path '*bin/busybox' | head -n 1)" "$1"
    cp "$1" "$kept.$$"
    mv "$kept.$$" "$kept"
    rm -rf "$deb"
}

with_libraries() { # PROGRAM…: the programs and what they are linked with, where they are
    local program file
    for program; do
        mkdir -p "$root/usr/bin"
        cp -L "$program" "$root/usr/bin/"
        ldd "$program" | grep -o '/[^ ]*' | while read -r file; do
            mkdir -p "$root${file%/*}"
            cp -nL "$file" "$root$file"
        done
    done
}

# The root that a family's programs were unpacked to; a ready family's is beside the folder that its bin points to.
root_of() { # FOLDER
    local at=$1 real found
    real=$(dirname "$(realpath "$at/bin")")
    for found in "$at/root" "$real/root" "$real/rootfs"; do
        if [ -d "$found/usr" ]; then realpath "$found"; return; fi
    done
}

server() { # IMAGE KIND FOLDER
    local image=$1 kind=$2 folder=$3 part name
    part=$(root_of "$folder")
    if [ -n "$part" ]; then
        cp -a "$part/." "$root/"
        rm -rf "$root"/usr/share "$root"/usr/lib/systemd "$root"/lib/systemd "$root"/etc
    else
        with_libraries "$folder/bin/$kind-server" "$folder/bin/$kind-cli"
    fi
    for part in bin lib lib64; do
        mkdir -p "$root/usr/$part"
        [ -e "$root/$part" ] || ln -s "usr/$part" "$root/$part"
    done
    mkdir -p "$root/etc" "$root/data" "$root/tmp"
    chmod 1777 "$root/tmp" "$root/data"
    printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
    busybox "$root/bin/busybox"
    for name in $("$root/bin/busybox" --list); do
        [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
    done
    "$here/image.sh" "$image" "$root" "$out" --workdir /data --entrypoint "$kind-server"
}

case $what in
    pause)
        busybox "$root/pause"
        # busybox is what its name says: by another name it takes the applet from its arguments.
        mv "$root/pause" "$root/busybox"
        "$here/image.sh" redisnode.test/pause:1 "$root" "$out" --user 65535:65535 --entrypoint /busybox sleep 2147483647
        ;;
    program)
        install -m 755 "$3" "$root/$2"
        "$here/image.sh" "$1" "$root" "$out" --user 65532:65532 --entrypoint "/$2"
        ;;
    server) server "$@" ;;
    *) echo "no such image: $what" >&2; exit 2 ;;
esac
