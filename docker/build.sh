#!/usr/bin/env bash
# The images of the agent (redisnode) and the coordinator (redis-coordinator), by docker, podman or buildah.
#
#   build.sh engine          which engine works here; a sentence if none does
#   build.sh programs OUT    OUT/ARCHITECTURE/{redisnode,redis-coordinator,kubectl-rediscluster}, static, for each
#                            architecture
#   build.sh images FROM     images of the programs in FROM: REGISTRY/NAME:TAG for this machine's architecture, and
#                            REGISTRY/NAME:TAG-ARCHITECTURE for each, if there are several
#   build.sh archives FROM   OCI archives of these images in FROM: NAME-TAG-linux-ARCHITECTURE.oci.tar
#   build.sh publish FROM    push them; of several architectures REGISTRY/NAME:TAG is a list
#
# From the environment, all with defaults:
#   TAG, DOCKER_REGISTRY     the version of Cargo.toml; redisnode
#   ENGINE                   docker, podman or buildah: the first that works
#   ARCHITECTURES            "amd64 arm64": those whose Rust target (…-unknown-linux-musl) and C compiler are installed
#   SOURCE_DATE_EPOCH        seconds since 1970 that the images are dated by: the last commit's
#   REVISION                 the commit that they are labelled with: the checkout's
# The same commit, toolchain and SOURCE_DATE_EPOCH give the same images.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { echo "$*" >&2; }
die() { say "$*"; exit 1; }
[ $# = 2 ] || [ "$*" = engine ] || { sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2; }

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
tag=${TAG:-$version}
registry=${DOCKER_REGISTRY:-redisnode}
names=(redisnode redis-coordinator)

triple_of() { # ARCHITECTURE
    case $1 in
        amd64) echo x86_64-unknown-linux-musl ;;
        arm64) echo aarch64-unknown-linux-musl ;;
        *) die "no static program is built for $1: ARCHITECTURES are amd64 and arm64" ;;
    esac
}
own_architecture() {
    case $(uname -m) in x86_64) echo amd64 ;; aarch64 | arm64) echo arm64 ;; *) uname -m ;; esac
}

# The C compiler for another architecture, which also links: the named one, or a cross compiler by its usual name.
compiler() { # ARCHITECTURE
    local triple variable
    triple=$(triple_of "$1")
    variable=CC_${triple//-/_}
    [ -z "${!variable:-}" ] || { echo "${!variable}"; return; }
    command -v "${triple%%-*}-linux-musl-gcc" || command -v "${triple%%-*}-linux-gnu-gcc"
}

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$(triple_of "$1")/lib" ]; }

# Those that can be built here; those that were asked for must be.
architectures() {
    local architecture
    for architecture in ${ARCHITECTURES:-amd64 arm64}; do
        if [ "$architecture" = "$(own_architecture)" ]; then
            echo "$architecture"
        elif ! has_target "$architecture"; then
            [ -z "${ARCHITECTURES:-}" ] || die "$architecture needs its Rust target: rustup target add $(triple_of "$architecture")"
        elif ! compiler "$architecture" >/dev/null; then
            [ -z "${ARCHITECTURES:-}" ] || die "$architecture needs a C compiler: apt-get install gcc-$(triple_of "$architecture" | cut -d- -f1 | tr _ -)-linux-gnu, or name one in CC_$(triple_of "$architecture" | tr - _)"
            say "note: no images for $architecture, whose Rust target is here: there is no C compiler for it"
        else
            echo "$architecture"
        fi
    done
}

programs() { # OUT
    local architecture triple cc name linker all
    all=$(architectures)
    for architecture in $all; do
        triple=$(triple_of "$architecture")
        if [ "$architecture" = "$(own_architecture)" ]; then
            # The same build as always, which may be static without the musl target.
            triple=$("$root/tests/setup.sh" triple)
            make --no-print-directory -C "$root" build
        else
            cc=$(compiler "$architecture")
            linker=$(echo "CARGO_TARGET_${triple//-/_}_LINKER" | tr '[:lower:]' '[:upper:]')
            env "CC_${triple//-/_}=$cc" "$linker=$cc" make --no-print-directory -C "$root" build "triple=$triple"
        fi
        mkdir -p "$1/$architecture"
        for name in "${names[@]}" kubectl-rediscluster; do
            install -m 755 "$(realpath "${CARGO_TARGET_DIR:-$root/target}")/$triple/release/$name" "$1/$architecture/$name"
        done
    done
}

engine() {
    local found
    for found in ${ENGINE:-docker podman buildah}; do
        # A client of docker without its daemon is none.
        if command -v "$found" >/dev/null && timeout 20 "$found" info >/dev/null 2>&1; then echo "$found"; return; fi
    done
    if [ -n "${ENGINE:-}" ]; then
        die "$ENGINE does not work here: '$ENGINE info' says why"
    fi
    die "images need docker, podman or buildah, and none of them works here: install one (Debian: apt-get install buildah), or start docker's daemon"
}

# What the images are dated by and labelled with.
date_and_labels() {
    epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
    export SOURCE_DATE_EPOCH=$epoch
    created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
    revision=${REVISION:-$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)}
    [ -n "${REVISION:-}" ] || [ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || revision=$revision-dirty
}

dockerfile() { # NAME
    case $1 in redisnode) echo "$root/docker/agent.Dockerfile" ;; *) echo "$root/docker/coordinator.Dockerfile" ;; esac
}

image() { # NAME ARCHITECTURE PROGRAM IMAGE…: one image, under all those names
    local name=$1 architecture=$2 folder options=() image
    folder=$(mktemp -d)
    install -m 755 "$3" "$folder/$name"
    touch -d "@$epoch" "$folder/$name" "$folder"
    shift 3
    for image; do options+=(--tag "$image"); done
    options+=(--platform "linux/$architecture" --file "$(dockerfile "$name")")
    options+=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created")
    case $engine in
        docker)
            DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 \
                docker build --quiet "${options[@]}" --build-arg "SOURCE_DATE_EPOCH=$epoch" "$folder" >/dev/null
            ;;
        podman | buildah)
            # Their own version as a label would make other images of the same programs.
            ! "$engine" build --help 2>&1 | grep -q -- --identity-label || options+=(--identity-label=false)
            "$engine" build --quiet "${options[@]}" --timestamp "$epoch" "$folder" >/dev/null
            ;;
    esac
    rm -rf "$folder"
    say "$engine made $*"
}

built() { # FROM: the architectures that there are programs of
    local architecture found=()
    for architecture in amd64 arm64 "$(own_architecture)"; do
        if [ -x "$1/$architecture/redisnode" ] && [[ " ${found[*]-} " != *" $architecture "* ]]; then found+=("$architecture"); fi
    done
    [ ${#found[@]} -gt 0 ] || die "there are no programs in $1: 'build.sh programs $1' makes them"
    echo "${found[@]}"
}

images() { # FROM
    local engine name architecture all tags
    all=$(built "$1")
    read -ra all <<<"$all"
    engine=$(engine)
    date_and_labels
    for name in "${names[@]}"; do
        for architecture in "${all[@]}"; do
            tags=()
            [ ${#all[@]} = 1 ] || tags+=("$registry/$name:$tag-$architecture")
            if [ ${#all[@]} = 1 ] || [ "$architecture" = "$(own_architecture)" ]; then tags+=("$registry/$name:$tag"); fi
            image "$name" "$architecture" "$1/$architecture/$name" "${tags[@]}"
        done
    done
}

archives() { # FROM
    local engine name architecture all image file folder
    all=$(built "$1")
    read -ra all <<<"$all"
    engine=$(engine)
    date_and_labels
    for name in "${names[@]}"; do
        for architecture in "${all[@]}"; do
            image=$registry/$name:$tag
            [ ${#all[@]} = 1 ] || image=$image-$architecture
            file=$1/$name-$tag-linux-$architecture.oci.tar
            folder=$(mktemp -d)
            case $engine in
                docker) docker save --output "$folder/archive" "$image" ;;
                podman) podman save --quiet --format oci-archive --output "$folder/archive" "$image" >/dev/null ;;
                buildah) buildah push --quiet "$image" "oci-archive:$folder/archive:$registry/$name:$tag" ;;
            esac
            mkdir "$folder/content"
            tar -xf "$folder/archive" -C "$folder/content"
            [ -e "$folder/content/oci-layout" ] || die "the docker of this machine saves no OCI archives: use version 25 or newer, or ENGINE=buildah"
            # The engines date an archive by when it was made.
            tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
                -cf "$file" -C "$folder/content" .
            rm -rf "$folder"
            say "$engine saved $image as $file"
        done
    done
}

# Where podman and buildah push to: for them a name without a registry is not Docker's.
destination() { # IMAGE
    case ${1%%/*} in *.* | *:* | localhost) echo "docker://$1" ;; *) echo "docker://docker.io/$1" ;; esac
}

publish() { # FROM
    local engine name architecture all image
    [ -n "${DOCKER_REGISTRY:-}" ] || die "say where to: make publish DOCKER_REGISTRY=registry.example.com/team"
    all=$(built "$1")
    read -ra all <<<"$all"
    engine=$(engine)
    for name in "${names[@]}"; do
        image=$registry/$name:$tag
        case $engine in
            docker) push_with_docker "$image" "${all[@]}" ;;
            *) push "$image" "${all[@]}" ;;
        esac
        say "$engine pushed $image"
    done
}

push_with_docker() { # IMAGE ARCHITECTURE…
    local image=$1 architecture
    shift
    if [ $# = 1 ]; then docker push --quiet "$image"; return; fi
    # A list of docker's is made of what the registry has.
    for architecture; do docker push --quiet "$image-$architecture"; done
    docker manifest create --amend "$image" "${@/#/$image-}"
    docker manifest push --purge "$image"
}

push() { # IMAGE ARCHITECTURE…
    local image=$1 to
    shift
    to=$(destination "$image")
    if [ $# = 1 ]; then "$engine" push "$image" "$to"; return; fi
    "$engine" manifest rm "$image-all" >/dev/null 2>&1 || true
    "$engine" manifest create "$image-all" "${@/#/$image-}" >/dev/null
    "$engine" manifest push --all "$image-all" "$to"
    "$engine" manifest rm "$image-all" >/dev/null
}

case $1 in
    engine) engine ;;
    programs | images | archives | publish) "$1" "$2" ;;
    *) die "no such command: $1" ;;
esac
