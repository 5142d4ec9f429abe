#!/bin/sh
# What a fresh machine needs before `make run` and `make test`, one step per word:
#
#   tests/setup.sh redis-server   makes sure that a redis-server is installed (Debian: by apt-get, as root)
#   tests/setup.sh kubernetes     makes sure that there is what a node of the tests' Kubernetes needs (Debian, root)
#   tests/setup.sh linker         makes sure that there is a C linker, which rustc needs
#   tests/setup.sh components     makes sure that the toolchain has rustfmt and clippy
#   tests/setup.sh triple         prints the target to build static binaries for, adding it to rustup if it can
#
# It changes nothing that is already there, and never starts or enables a service.
set -eu

say() { echo "$*" >&2; }

quiet_install() { apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@"; }

# A package that brings a service starts it at once on Debian. policy-rc.d is Debian's own way to forbid that.
install_without_starting() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT INT TERM
    fi
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    if ! quiet_install "$@" >/dev/null 2>&1; then
        apt-get -qq update >&2
        quiet_install "$@" >&2
    fi
}

redis_server() {
    if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        say "redis-server is missing: install Redis 7.0 or newer with your system's package manager, then try again"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "redis-server is missing: run 'sudo apt-get install redis-server', then try again"
        return 1
    fi
    say "redis-server is missing: installing Debian's package"
    install_without_starting redis-server
    if [ -d /run/systemd/system ]; then
        systemctl disable redis-server >/dev/null 2>&1 || say "note: Debian's redis-server will start with the system"
    fi
}

# A program that a Kubernetes node needs, and the package of Debian that has it.
node_programs() {
    cat <<'LIST'
/usr/bin/containerd containerd
/usr/sbin/runc runc
/usr/lib/cni/ptp containernetworking-plugins
/usr/sbin/ip iproute2
/usr/sbin/iptables iptables
/usr/sbin/conntrack conntrack
/usr/bin/openssl openssl
/usr/bin/zstd zstd
LIST
}

kubernetes() {
    missing=$(node_programs | while read -r program package; do
        [ -e "$program" ] || command -v "${program##*/}" >/dev/null || echo "$package"
    done | sort -u | tr '\n' ' ')
    if [ -z "$missing" ]; then
        return 0
    fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        say "a Kubernetes node needs $missing: install them (Debian: 'sudo apt-get install $missing'), then try again"
        return 1
    fi
    say "a Kubernetes node needs $missing: installing Debian's packages"
    # shellcheck disable=SC2086
    install_without_starting $missing
}

linker() {
    if command -v cc >/dev/null; then
        return 0
    fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        say "there is no C linker, which rustc needs: install gcc (Debian: 'sudo apt-get install gcc libc6-dev'), then try again"
        return 1
    fi
    say "there is no C linker, which rustc needs: installing Debian's gcc"
    install_without_starting gcc libc6-dev
}

components() {
    for component in rustfmt clippy; do
        if cargo "$(echo "$component" | sed 's/^rust//')" --version >/dev/null 2>&1; then
            continue
        fi
        if ! command -v rustup >/dev/null; then
            say "the toolchain has no $component: install it, then try again"
            return 1
        fi
        say "adding $component to the toolchain"
        timeout 120 rustup -q component add "$component" >&2
    done
}

triple() {
    host=$(rustc -vV | sed -n 's/^host: //p')
    case $host in
        *-linux-gnu) musl=${host%-gnu}-musl ;;
        *) echo "$host"; return 0 ;;
    esac
    library=$(rustc --print sysroot)/lib/rustlib/$musl/lib
    if [ ! -d "$library" ] && command -v rustup >/dev/null; then
        say "adding the target $musl to the toolchain"
        timeout 120 rustup -q target add "$musl" >&2 || say "that failed; building with $host and a static libc instead"
    fi
    if [ -d "$library" ]; then echo "$musl"; else echo "$host"; fi
}

case ${1-} in
    redis-server) redis_server ;;
    kubernetes) kubernetes ;;
    linker) linker ;;
    components) components ;;
    triple) triple ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
