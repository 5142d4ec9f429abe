# The commands of this repository. `make` alone lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

target  := $(or $(CARGO_TARGET_DIR),target)
# The target of the static binaries, asked for once and only where a recipe needs it.
triple   = $(eval triple := $(shell tests/setup.sh triple))$(triple)
bin      = $(target)/$(triple)/release
# musl is static by itself; the C library of the host has to be told. With --target this spares build scripts.
static   = $(if $(findstring musl,$(triple)),,RUSTFLAGS="$${RUSTFLAGS:-} -C target-feature=+crt-static")
# Without a C compiler of musl's own the host's will do: its headers must not ask for glibc's checked functions. One for
# another architecture is named in CC_<triple>.
named_cc = CC_$(subst -,_,$(triple))
musl_cc  = $(if $(findstring musl,$(triple)),$(named_cc)="$${$(named_cc):-$${CC:-cc}}" CFLAGS_$(subst -,_,$(triple))=-U_FORTIFY_SOURCE)
release  = $(static) $(musl_cc) cargo build --locked --release --target $(triple)
# Where the tests find the binaries and the servers.
places   = REDISNODE_BIN="$$(realpath $(bin))" REDISNODE_SERVERS_DIR="$$(realpath $(target)/servers)" \
           REDISNODE_KUBERNETES_BIN="$$(realpath -m $(target)/kubernetes)" REDISNODE_SKIPPED="$$(realpath -m $(target)/skipped)"
# Runs tests, and says last what was skipped and why.
tests    = rm -f $(target)/skipped; status=0; $(places) cargo test --locked $(1) || status=$$?; \
           [ ! -e $(target)/skipped ] || sort -u $(target)/skipped; exit $$status

SERVER ?=
DIR    ?= run
PORT   ?= 7000
THEME  ?=
FAMILIES ?= all
ONLY   ?=
ROUNDS ?= 66
SEED   ?= 0
# What docker/build.sh takes from the environment; it has defaults.
export TAG DOCKER_REGISTRY ENGINE ARCHITECTURES
VERSION ?=
# The version that the coordinator is upgraded from in `make test-k8s-all`.
PREVIOUS ?= HEAD~1

.PHONY: help run build test test-e2e test-matrix test-k8s test-k8s-all simulate bench bench-migration soak-migration lint fmt generate images publish release servers kubernetes

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

run: build ## start examples/cluster.yaml here and follow it until Ctrl-C [SERVER=path DIR=run PORT=7000]
	@tests/setup.sh redis-server
	@exec $(bin)/redis-coordinator local examples/cluster.yaml --dir $(DIR) --port $(PORT) $(if $(SERVER),--server $(SERVER))

# The agent is built alone: what the coordinator needs of a shared crate would make it larger.
build: ## the static release binaries
	@tests/setup.sh linker
	@$(release) -p redisnode-agent
	@$(release) -p redis-coordinator -p kubectl-rediscluster

test: build servers kubernetes ## everything: unit and property tests, the simulator, end to end on real servers and in pods
	@$(call tests,--workspace)

test-e2e: build servers ## end to end only [THEME=takeover]
	@$(places) cargo test --locked -p redisnode-tests --test e2e -- $(THEME)

test-matrix: build servers ## end to end: every case on every server, five times (long) [THEME=takeover]
	@$(places) REDISNODE_MATRIX=5 cargo test --locked -p redisnode-tests --test e2e -- $(THEME)

test-k8s: build servers kubernetes ## on a real Kubernetes only, with real pods: a sample (root) [THEME=smoke]
	@$(call tests,-p redisnode-tests --test k8s -- $(THEME))

test-k8s-all: build servers kubernetes ## every case on Kubernetes on every server, and a table (an hour) [FAMILIES="redis-7.0 valkey-9.1" THEME=load PREVIOUS=v0.1.0]
	@rm -f $(target)/k8s-table; failed=0; export REDISNODE_FAMILIES="$(FAMILIES)" REDISNODE_TABLE="$$(realpath -m $(target)/k8s-table)"; \
	    REDISNODE_PREVIOUS=$$(tests/previous.sh $(target)/previous $(PREVIOUS)); export REDISNODE_PREVIOUS; \
	    ($(call tests,-p redisnode-tests --test k8s -- --include-ignored $(THEME))) || failed=$$?; \
	    [ ! -e "$$REDISNODE_TABLE" ] || tests/k8s/table.sh "$$REDISNODE_TABLE"; exit $$failed

simulate: ## the simulator alone
	@cargo test --locked -p redisnode-tests --test 'sim*'

bench: build servers $(if $(ONLY),$(if $(filter fleet,$(ONLY)),kubernetes),kubernetes) ## measure beside redis-cli on the same servers, print a table [ONLY="move valkey-9.1"]
	@cargo build --locked --profile test -p redisnode-tests --bin bench
	@$(places) $(target)/debug/bench $(ONLY)

bench-migration: build servers ## measure moves of slots beside redis-cli, bare commands and a full sync (up to 45 minutes) [ONLY="redis-8.6 100B 3-4"]
	@cargo build --locked --profile test -p redisnode-tests --bin bench-migration
	@$(places) $(target)/debug/bench-migration $(ONLY)

# The tests of the families that are asked for, or of the three that each have a driver of their own.
soaked = $(addprefix soak::,$(subst -,_,$(subst .,_,$(or $(ONLY),redis-7.0 redis-8.6 valkey-9.1))))

soak-migration: build servers ## moves of slots with a party killed or something in the way, each drawn from a seed (20 minutes a server) [ROUNDS=66 SEED=0 ONLY="valkey-9.1"]
	@export REDISNODE_SOAK=$(ROUNDS) REDISNODE_SOAK_SEED=$(SEED); \
	    $(call tests,-p redisnode-tests --test e2e -- --nocapture --test-threads=1 $(soaked))

lint: ## formatting and clippy, as CI checks them
	@tests/setup.sh linker && tests/setup.sh components
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@for script in tests/*.sh tests/k8s/*.sh docker/*.sh charts/*/files/*.sh .ci/run .ci/release.sh; do bash -n "$$script"; done

fmt: ## format the code
	@cargo fmt --all

generate: build ## write the generated files anew: the definition of RedisCluster
	@mkdir -p charts/redis-coordinator/files
	@$(bin)/redis-coordinator crd > charts/redis-coordinator/files/crd.yaml

images: ## the images of agent and coordinator, by docker, podman or buildah [TAG=version DOCKER_REGISTRY=redisnode]
	@docker/build.sh engine >/dev/null
	@docker/build.sh programs $(target)/images
	@docker/build.sh images $(target)/images

publish: images ## push them to a registry [DOCKER_REGISTRY=registry.example.com/team TAG=version]
	@docker/build.sh publish $(target)/images

release: ## all that is given out, under one version, in dist/VERSION [VERSION=1.2.3 IMAGES=no DOCKER_REGISTRY=redisnode]
	@.ci/release.sh "$(VERSION)"

servers: ## real servers of every family, for tests and benches, in target/servers
	@tests/servers.sh $(target)/servers all

# A machine that cannot have nodes says so, and has the control plane all the same.
kubernetes: ## what the tests' Kubernetes needs: its programs in target/kubernetes, and Debian's packages
	@tests/setup.sh kubernetes || true
	@tests/k8s/binaries.sh $(target)/kubernetes || [ "$$(id -u)" != 0 ]
