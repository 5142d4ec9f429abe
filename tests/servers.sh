#!/usr/bin/env bash
# Real Redis and Valkey servers of several versions, side by side, without installing them.
#
#   tests/servers.sh DIR FAMILY…    each becomes DIR/FAMILY/bin/{redis,valkey}-{server,cli}
#
# Families: system (the installed redis-server, always included and required), redis-7.0, redis-8.0,
# redis-8.6, valkey-8.1, valkey-9.1, or `all`. Of each, the newest version that any of Debian's suites has.
# A family that no suite has any more is skipped, and said. REDISNODE_SERVERS=FOLDER takes ready ones from
# FOLDER/FAMILY/bin first.
#
# apt works on a private root here: lists, cache and status are its own, so nothing is installed and the
# system's package state is not touched; signatures are checked as ever. A server of another suite runs
# through the ld.so and the libraries of that suite, so the system's libc does not matter.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
known="redis-7.0 redis-8.0 redis-8.6 valkey-8.1 valkey-9.1"
suites="oldoldstable oldstable stable stable-backports testing unstable experimental"
secured="oldoldstable oldstable stable"
[ $# -ge 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2; }

mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
families=
for name; do
    case $name in
        all) families="$families $known" ;;
        system) ;;
        redis-[0-9]*.[0-9]* | valkey-[0-9]*.[0-9]*) families="$families $name" ;;
        *) echo "no such family: $name; there are: system $known" >&2; exit 2 ;;
    esac
done

# One at a time per folder: two test runs at once would write the same files.
exec 9>"$dir/.lock"
flock 9

kind_of() { echo "${1%%-*}"; }
version_of() { "$dir/$1/bin/$(kind_of "$1")-server" --version 2>/dev/null | sed -n 's/.*v=\([^ ]*\).*/\1/p'; }

# Prints the line of a family that is ready, or fails.
ready() {
    local version
    [ -x "$dir/$1/bin/$(kind_of "$1")-server" ] || return 1
    version=$(version_of "$1")
    [ -n "$version" ] || return 1
    echo "$1: $(kind_of "$1") $version"
}

link() { # FAMILY FOLDER: the programs of FOLDER are this family's
    rm -rf "${dir:?}/$1"
    mkdir -p "$dir/$1"
    ln -s "$2" "$dir/$1/bin"
}

system_server() {
    "$here/setup.sh" redis-server
    local bin
    bin=$(dirname "$(command -v redis-server)")
    if [ "$(readlink "$dir/system/bin" 2>/dev/null)" != "$bin" ]; then link system "$bin"; fi
    echo "system: redis $("$bin/redis-server" --version | sed -n 's/.*v=\([^ ]*\).*/\1/p') ($bin)"
}

given() { # a ready folder that the caller named
    local bin=${REDISNODE_SERVERS:-}/$1/bin
    [ -n "${REDISNODE_SERVERS:-}" ] && [ -x "$bin/$(kind_of "$1")-server" ] || return 1
    link "$1" "$(cd "$bin" && pwd)"
}

# --- apt on a private root ---------------------------------------------------------------------------------

apt_root=$dir/.apt
keys=/usr/share/keyrings/debian-archive-keyring.gpg

private() { # SOURCES COMMAND…: an apt program on the private root, with this list of sources
    local sources=$1 command=$2
    shift 2
    timeout 300 "$command" -qq -o Dir::Etc::sourcelist="$sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$apt_root/lists" \
        -o Dir::State::status="$apt_root/status" -o Dir::Cache="$apt_root/cache" -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Retries=3 \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

# The archives that this system already uses, as apt knows them.
archives() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sort -u; }
archive() { archives | sed -n "\\,/$1/*\$,{p;q}"; }

source_lines() { # SUITE…: the lines of a sources.list
    local suite main security
    main=$(archive debian)
    security=$(archive debian-security)
    for suite; do
        echo "deb [signed-by=$keys] $main $suite main"
        case " $secured " in
            *" $suite "*) [ -z "$security" ] || echo "deb [signed-by=$keys] $security $suite-security main" ;;
        esac
    done
}

# Fetched once a run; the versions that all suites have are kept in a file.
fetch_lists() {
    [ ! -e "$apt_root/versions" ] || return 0
    if [ -z "$(archive debian)" ] && [ "$(id -u)" = 0 ]; then apt-get -qq update >&2 || true; fi
    [ -n "$(archive debian)" ] || return 1
    rm -rf "$apt_root"
    mkdir -p "$apt_root"/{lists/partial,cache/archives/partial}
    touch "$apt_root/status"
    # shellcheck disable=SC2086
    source_lines $suites >"$apt_root/all.list"
    # A suite that this archive does not carry makes apt-get fail after it has fetched the others.
    private "$apt_root/all.list" apt-get update >/dev/null 2>"$apt_root/update.log" || true
    ls "$apt_root"/lists/*_Packages* >/dev/null 2>&1 || return 1
    private "$apt_root/all.list" apt-cache madison redis-server valkey-server >"$apt_root/versions"
}

# Prints "VERSION SUITE" of the newest version of a family.
newest() {
    local kind=${1%%-*} wanted=${1#*-} best='' best_suite='' version suite
    while read -r version suite; do
        case ${version#*:} in "$wanted".*) ;; *) continue ;; esac
        if [ -z "$best" ] || dpkg --compare-versions "$version" gt "$best"; then
            best=$version best_suite=$suite
        fi
    done < <(awk -F'|' -v server="$kind-server" '$1 ~ server { split($3, at, " "); sub("/.*", "", at[2]); print $2, at[2] }' "$apt_root/versions")
    [ -n "$best" ] && echo "$best $best_suite"
}

# Prints PACKAGE=VERSION for the server, its tools and the libraries that they need.
needed() { # KIND VERSION SUITE
    local base=${3%-security} from
    case $base in
        experimental) from="unstable experimental" ;;
        *-backports) from="${base%-backports} $base" ;;
        *) from=$base ;;
    esac
    # shellcheck disable=SC2086
    source_lines $from >"$apt_root/from.list"
    private "$apt_root/from.list" apt-get --simulate --no-install-recommends install "$1-server=$2" "$1-tools=$2" |
        sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' | grep -E "^(lib|zlib|$1-)"
}

# Unpacks what was downloaded, and writes a starter for each program.
unpack() { # KIND FOLDER
    local root=$2/root loader libraries program
    mkdir -p "$root" "$2/bin"
    for program in "$2"/deb/*.deb; do dpkg -x "$program" "$root"; done
    rm -rf "$2/deb" "$root"/usr/share "$root"/etc "$root"/var
    loader=$(find "$root" -name 'ld-linux*.so.*' | head -n 1)
    [ -n "$loader" ] || { echo "the packages of $1 have no ld.so" >&2; return 1; }
    libraries=$(find "$root/lib" "$root/usr/lib" -maxdepth 1 -name '*-linux-gnu*' 2>/dev/null | paste -sd:)
    for program in "$root"/usr/bin/"$1"-*; do
        printf '#!/bin/sh\nexec %s --argv0 "$0" --library-path %s %s "$@"\n' "$loader" "$libraries" "$program" >"$2/bin/${program##*/}"
        chmod +x "$2/bin/${program##*/}"
    done
}

download() { # FAMILY: 0 when ready; otherwise prints why not
    local kind found version suite packages
    kind=$(kind_of "$1")
    fetch_lists || { echo "Debian's package lists could not be fetched"; return 1; }
    found=$(newest "$1") || { echo "no suite has it"; return 1; }
    read -r version suite <<<"$found"
    packages=$(needed "$kind" "$version" "$suite") || { echo "apt cannot resolve $version of $suite"; return 1; }
    rm -rf "${dir:?}/$1"
    mkdir -p "$dir/$1/deb"
    # shellcheck disable=SC2086
    (cd "$dir/$1/deb" && private "$apt_root/from.list" apt-get download $packages >/dev/null 2>"$apt_root/download.log") ||
        { echo "the download of $version failed: $(tail -n 1 "$apt_root/download.log")"; return 1; }
    unpack "$kind" "$dir/$1" >&2 && [ -n "$(version_of "$1")" ] || { echo "$version does not run here"; return 1; }
}

# --- main ----------------------------------------------------------------------------------------------------

rm -rf "$apt_root"
system_server
for name in $families; do
    if ready "$name"; then continue; fi
    if given "$name"; then ready "$name"; continue; fi
    # A family that was looked for within a day and found gone is not looked for again.
    if [ -n "$(find "$dir/.gone-$name" -mmin -1440 2>/dev/null)" ]; then
        echo "skipped: $name: $(cat "$dir/.gone-$name")"
        continue
    fi
    if why=$(download "$name"); then
        ready "$name"
    else
        rm -rf "${dir:?}/$name"
        if [ "$why" = "no suite has it" ]; then echo "$why" >"$dir/.gone-$name"; fi
        echo "skipped: $name: $why"
    fi
done
rm -rf "$apt_root"
