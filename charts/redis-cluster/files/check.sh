# What `helm test` runs: asks the cluster over its Service until all is well, two minutes at most. Any POSIX shell will do.
# SERVICE is the Service's name, REDISCLI_AUTH the password if there is one. It is an argument of a container, where two
# dollars are one: they are not used.
set -u
cli=$(command -v valkey-cli || command -v redis-cli) || {
    echo "this image has neither valkey-cli nor redis-cli: set test.image to one that has" >&2
    exit 1
}
# valkey-cli prefers a name of its own for the password.
[ -z "${REDISCLI_AUTH-}" ] || export VALKEYCLI_AUTH="$REDISCLI_AUTH"

ask() { timeout 5 "$cli" -c -h "$SERVICE" -p 6379 "$@" 2>&1; }
value() { # NAME: of CLUSTER INFO
    printf '%s\n' "$info" | tr -d '\r' | sed -n "s/^$1://p"
}

written_and_read() { # KEY
    said=$(ask SET "$1" here EX 60)
    why="$1 cannot be written: $said"
    case $said in *OK*) ;; *) return 1 ;; esac
    said=$(ask GET "$1")
    why="$1 was written, and reads as: $said"
    [ "$said" = here ] || return 1
    ask DEL "$1" >/dev/null
}

well() { # true, or else `why` says what is missing
    info=$(ask CLUSTER INFO)
    why="$SERVICE answers: $info"
    [ "$(value cluster_state)" = ok ] || return 1
    why="$(value cluster_slots_ok) of 16384 slots are served"
    [ "$(value cluster_slots_ok)" = 16384 ] || return 1
    # They lie far apart, so that several primaries are asked.
    for name in a b c d e f; do
        written_and_read "redis-cluster-test-$name" || return 1
    done
}

tries=0
until well; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { echo "not well: $why" >&2; exit 1; }
    sleep 2
done
echo "$SERVICE: all slots are served by $(value cluster_size) primaries; six keys were written and read"
