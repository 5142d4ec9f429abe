#!/usr/bin/env bash
# The binaries of an earlier commit, for what must work together over versions: `previous.sh FOLDER REVISION` puts a clone
# into FOLDER, builds it there as its own Makefile does, and prints where it is. It takes minutes the first time.
set -euo pipefail
[ $# = 2 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify --quiet "$2^{commit}") || { echo "$2 is no commit here: name one with PREVIOUS=…" >&2; exit 1; }
[ -d "$1/.git" ] || git clone --quiet --no-checkout . "$1"
git -C "$1" fetch --quiet origin "$commit" 2>/dev/null || git -C "$1" fetch --quiet origin
git -C "$1" checkout --quiet --force --detach "$commit"
echo "building $(git log -1 --format='%h, %s' "$commit")" >&2
env -u CARGO_TARGET_DIR make --silent -C "$1" build >&2
realpath "$1"
