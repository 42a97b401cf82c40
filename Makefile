# A short front to meson and ninja. `make demo` and `make check` are all a newcomer needs.

BUILD  ?= build
ASAN   ?= build-asan
TSAN   ?= build-tsan
CLANG  ?= build-clang
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
SYSTEM  = $(PYTHON) tests/run_system.py

PACKAGES = build-essential meson ninja-build pkg-config python3 libuv1-dev libcurl4-openssl-dev \
           libmicrohttpd-dev libjansson-dev libfyaml-dev libsqlite3-dev libsystemd-dev \
           libxxhash-dev libcmocka-dev libpq-dev libhiredis-dev libncurses-dev tzdata
PACKAGES_CHECK = clang chromium libclang-rt-14-dev python3-pytest python3-pytest-xdist flake8 clang-format \
                 prometheus prometheus-alertmanager redis-server postgresql docker.io etcd-server etcd-client \
                 docker-registry busybox-static iproute2 iptables openssh-server openssh-client openssl tmux
PACKAGES_BENCH = nginx haproxy wrk docker.io etcd-server busybox-static iproute2

all: $(BUILD)/plimsoll

# The tree is the list of sources, so a new or a gone file means configuring again.
configure = set -e; test -f $(1)/build.ninja || meson setup $(1) $(2) >/dev/null; \
            find src tests/unit tests/fuzz examples -name '*.c' | LC_ALL=C sort >$(1)/sources.new; \
            cmp -s $(1)/sources.new $(1)/sources || meson setup --reconfigure $(1) >/dev/null; \
            mv $(1)/sources.new $(1)/sources

$(BUILD)/plimsoll: FORCE
	@$(call configure,$(BUILD),--prefix=$(PREFIX))
	@ninja -C $(BUILD)

asan: FORCE
	@$(call configure,$(ASAN),-Db_sanitize=address$(comma)undefined -Db_lundef=false)
	@ninja -C $(ASAN)

tsan: FORCE
	@$(call configure,$(TSAN),-Db_sanitize=thread -Db_lundef=false)
	@ninja -C $(TSAN)

# The other compiler, without optimisation: it must build, and compute the same.
clang: FORCE
	@CC=clang; export CC; $(call configure,$(CLANG),--buildtype=debug)
	@ninja -C $(CLANG)

comma := ,

# Unit tests, the simulator and the fuzz corpora under ASan and UBSan; then the rules of the code;
# then the real program against real clients and servers, in three workers: they wait more than they compute.
check: deps all asan clang lint
	@tests/sim/same $(BUILD) $(CLANG)
	meson test -C $(ASAN) --no-rebuild --print-errorlogs
	$(BUILD)/plimsoll score --compare tests/score.expected traces/*.csv >/dev/null
	PLIMSOLL_BUILD=$(abspath $(BUILD)) $(SYSTEM) -n 3 tests/system

# The system tests once more under ASan and UBSan, and beside that under TSan: the latter without the
# engines' and the groups', for what they add runs on one thread.
NO_THREADS = driver_conformance test_alerts.py test_alerts_group.py test_backup.py test_docker.py \
             test_docker_life.py test_lease_etcd.py test_members.py test_plugins.py test_swarm.py \
             test_swarm_package.py test_takeover.py test_watch.py
check-sanitize: deps asan tsan
	@PLIMSOLL_BUILD=$(abspath $(ASAN)) PLIMSOLL_TEST_SLOW=4 $(SYSTEM) -n 2 tests/system \
		>$(ASAN)/system.log 2>&1 & asan=$$!; \
	TSAN_OPTIONS=suppressions=$(abspath tests/tsan.supp) PLIMSOLL_BUILD=$(abspath $(TSAN)) \
		PLIMSOLL_TEST_SLOW=8 $(SYSTEM) $(NO_THREADS:%=--ignore=tests/system/%) tests/system; tsan=$$?; \
	wait $$asan; asan=$$?; cat $(ASAN)/system.log; exit $$((tsan + asan))

lint: all
	@tests/lint/run $(BUILD)

format:
	clang-format -i $$(find src tests examples -name '*.[ch]')

# The policy on recorded loads beside its peers; a cell that is worse than recorded is a failure.
score: deps-build all
	$(BUILD)/plimsoll score --compare tests/score.expected traces/*.csv

# The simulator for hours: make check runs the first thousand of these seeds.
soak: all
	$(BUILD)/tests/sim_seeds 1 100000 --file tests/sim/seeds.txt

bench: deps-bench all
	bench/run $(BUILD)

demo: deps-build all
	examples/demo/run $(BUILD)

# Installs what is missing, and only that.
deps: deps-build
	@packaging/deps $(PACKAGES_CHECK)
deps-build:
	@packaging/deps $(PACKAGES)
deps-bench: deps-build
	@packaging/deps $(PACKAGES_BENCH)

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) $(ASAN) $(TSAN) $(CLANG)

FORCE:
.PHONY: all asan tsan clang check check-sanitize lint format score soak bench demo deps deps-build deps-bench install \
        clean FORCE
