#!/usr/bin/env bash
# A release: everything that is given out, under one version, in dist/VERSION. Nothing outside dist changes.
#
#   release.sh VERSION      dist/VERSION: programs, images, charts with an index, the changelog's entry, checksums
#
# It is here, beside what a hosted CI runs, because it is about programs, images and charts alike.
#
# From the environment, all with defaults:
#   IMAGES=no               no images, where no docker, podman or buildah is
#   ARCHITECTURES, ENGINE, DOCKER_REGISTRY    as docker/build.sh takes them; the charts name the images of DOCKER_REGISTRY
#   HELM                    the helm to package with: the one in PATH, else that of the tests
#   REDISNODE_PROGRAMS      a folder with ARCHITECTURE/{redisnode,redis-coordinator,kubectl-rediscluster}: nothing is built
#
# The version is set in a copy of the last commit (dist/.build/source), never in the tree. The same commit and toolchain
# give the same files: they are dated by the commit. dist/.build is kept, to be quick the next time; delete it as you like.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { echo "$*" >&2; }
die() { say "$*"; exit 1; }
[ $# = 1 ] && [ -n "$1" ] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }

version=$1
dist=$root/dist
out=$dist/$version
work=$dist/.build
source=$work/source
new=$work/release
programs=(redisnode redis-coordinator kubectl-rediscluster)
charts=(redis-coordinator redis-cluster)

check_version() {
    local number='(0|[1-9][0-9]*)' word='(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
    case $version in
        v*) die "'$version' begins with a v: tags do, versions do not; write VERSION=${version#v}" ;;
        *+*) die "'$version' has a part after a +, which tags of images cannot have: leave it out" ;;
    esac
    [[ $version =~ ^$number\.$number\.$number(-$word(\.$word)*)?$ ]] ||
        die "'$version' is not a semantic version: write three numbers, as 1.2.3, or with a pre-release, as 1.2.3-rc.1"
}

check_tree() {
    local changed tagged
    git -C "$root" rev-parse --verify --quiet HEAD >/dev/null ||
        die "$root is not a git checkout with a commit: a release is made of one"
    changed=$(git -C "$root" status --porcelain)
    [ -z "$changed" ] || die "the tree is not what was committed: commit or remove these, then try again"$'\n'"$changed"
    [ ! -e "$out" ] ||
        die "$version has been released: dist/$version is there. Choose a higher version; or, if nobody has got it yet, delete that folder"
    tagged=$(git -C "$root" rev-parse --verify --quiet "refs/tags/v$version^{commit}" || true)
    [ -z "$tagged" ] || [ "$tagged" = "$revision" ] ||
        die "$version has been released: the tag v$version is another commit ($tagged). Choose a higher version"
}

# The part of the changelog about this version: its own, or else what is unreleased.
entry() {
    local name text
    for name in "$version" Unreleased; do
        text=$(awk -v heading="## [$name]" '
            index($0, "## ") == 1 || /^\[[^]]*\]: / { inside = index($0, heading) == 1; next }
            inside' "$root/CHANGELOG.md")
        if [[ $text == *[![:space:]]* ]]; then
            printf '## [%s] - %s\n\n%s\n' "$version" "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)" "$(sed '/./,$!d' <<<"$text")"
            return
        fi
    done
    die "CHANGELOG.md says nothing about $version: write what users should know under '## [Unreleased]', and commit it"
}

# The last commit, with this version. Files are dated now: cargo takes what is older than its last build for unchanged.
copy() {
    local chart
    rm -rf "$source"
    mkdir -p "$source"
    git -C "$root" archive HEAD | tar -x -m -C "$source"
    sed -i "/^\[workspace.package\]/,/^\[/s/^version = .*/version = \"$version\"/" "$source/Cargo.toml"
    # Packages without a source are the workspace's own.
    awk -v version="$version" '
        function flush(    i) {
            for (i = 1; i <= count; i++) {
                if (own && lines[i] ~ /^version = /) lines[i] = "version = \"" version "\""
                print lines[i]
            }
            count = 0; own = 0
        }
        /^\[\[package\]\]/ { flush(); own = 1 }
        /^source = / { own = 0 }
        { lines[++count] = $0 }
        END { flush() }' "$source/Cargo.lock" >"$source/Cargo.lock.new"
    mv "$source/Cargo.lock.new" "$source/Cargo.lock"
    for chart in "${charts[@]}"; do
        sed -i "s/^version: .*/version: $version/; s/^appVersion: .*/appVersion: $version/" "$source/charts/$chart/Chart.yaml"
    done
    [ -z "${DOCKER_REGISTRY:-}" ] ||
        sed -i "s|^\( *repository: \)redisnode/|\1$DOCKER_REGISTRY/|" "$source/charts/redis-coordinator/values.yaml"
}

# A tar whose bytes say nothing of when, where and by whom it was made.
pack() { # FOLDER CONTENT…
    local folder=$1
    shift
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        -c -C "$folder" "$@" | gzip -9n
}

build() {
    rm -rf "$work/programs"
    if [ -n "${REDISNODE_PROGRAMS:-}" ]; then
        cp -rL "$REDISNODE_PROGRAMS" "$work/programs"
        return
    fi
    # Paths of this machine are in no program: messages name files relative to the repository and to cargo's folder.
    RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$source=/redisnode --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        CARGO_TARGET_DIR=$work/target "$source/docker/build.sh" programs "$work/programs"
}

archives() {
    local folder architecture name said
    for folder in "$work"/programs/*/; do
        architecture=$(basename "$folder")
        for name in "${programs[@]}"; do
            [ -x "$folder/$name" ] || die "there is no program $name for $architecture in ${REDISNODE_PROGRAMS:-$work/programs}"
            # One for another architecture cannot say it here.
            said=$("$folder/$name" --version 2>/dev/null) || { [ "$architecture" != "$(own)" ] || die "$name --version fails"; continue; }
            [ "${said##* }" = "$version" ] || die "$name says that it is '$said', and not $version"
        done
        pack "$folder" "${programs[@]}" >"$new/redisnode-$version-linux-$architecture.tar.gz"
    done
}

own() { case $(uname -m) in x86_64) echo amd64 ;; aarch64 | arm64) echo arm64 ;; *) uname -m ;; esac }

images() {
    local tag=$version
    [ "${IMAGES:-yes}" != no ] || { say "no images, as IMAGES=no says"; return; }
    TAG=$tag "$source/docker/build.sh" images "$work/programs"
    TAG=$tag "$source/docker/build.sh" archives "$work/programs"
    mv "$work"/programs/*.oci.tar "$new/"
}

find_helm() {
    if [ -n "${HELM:-}" ]; then echo "$HELM"; return; fi
    if command -v helm; then return; fi
    local theirs=${CARGO_TARGET_DIR:-$root/target}/kubernetes/helm
    [ -x "$theirs" ] || { "$root/tests/k8s/binaries.sh" "$work/kubernetes" >&2; theirs=$work/kubernetes/helm; }
    echo "$theirs"
}

package_charts() {
    local chart folder helm epoch
    helm=$(find_helm) || die "charts are packaged by helm, and there is none: install it, or name one in HELM"
    for chart in HELM_CACHE_HOME HELM_CONFIG_HOME HELM_DATA_HOME; do export "$chart=$work/helm"; done
    folder=$(mktemp -d -p "$work")
    for chart in "${charts[@]}"; do
        "$helm" package "$source/charts/$chart" --destination "$folder" >/dev/null
        # helm dates its archive by when it was made.
        mkdir "$folder/content"
        tar -xzmf "$folder/$chart-$version.tgz" -C "$folder/content"
        pack "$folder/content" "$chart" >"$new/$chart-$version.tgz"
        rm -rf "$folder/content"
    done
    rm -rf "$folder"
    "$helm" repo index "$new"
    epoch=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
    sed -i "s/^\( *\(- \)\{0,1\}created: \).*/\1\"$epoch\"/; s/^generated: .*/generated: \"$epoch\"/" "$new/index.yaml"
}

revision=$(git -C "$root" rev-parse --verify --quiet HEAD || true)
check_version
check_tree
REVISION=$revision
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export REVISION SOURCE_DATE_EPOCH LC_ALL=C
umask 022
notes=$(entry)
if [ "${IMAGES:-yes}" != no ]; then
    "$root/docker/build.sh" engine >/dev/null || die "a release without images: IMAGES=no"
fi

mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || die "another release is being made in dist: wait for its end"
rm -rf "$new"
mkdir "$new"
copy
build
archives
images
package_charts
cp "$source/charts/redis-coordinator/files/crd.yaml" "$new/rediscluster-crd.yaml"
printf '%s\n' "$notes" >"$new/CHANGELOG.md"
(cd "$new" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
mv "$new" "$out"
say "dist/$version has:"
(cd "$out" && du -ah --apparent-size -- * | sort -k 2 >&2)
