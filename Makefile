# Shannon. `make help` says what there is; the build itself is in CMakeLists.txt.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
# Wasmtime's line: 40, or 48, its supported one (built and kept beside the other).
WASMTIME ?= 40
SHANNON_FUZZ_SECONDS ?= 30
export SHANNON_FUZZ_SECONDS
MAKEFLAGS += --no-print-directory

# One preset: configured when new or when the presets changed (for all else Ninja does it by itself).
define build
	@mkdir -p build
	@test build/$(1)/build.ninja -nt CMakePresets.json || \
	    cmake --preset $(1) >build/configure-$(1).log 2>&1 || \
	    { cat build/configure-$(1).log; rm -f build/$(1)/build.ninja; exit 1; }
	@ninja -C build/$(1) -j$(JOBS) --quiet $(2)
endef

ifneq ($(filter-out 40 48,$(WASMTIME)),)
$(error WASMTIME is $(WASMTIME); expected 40 or 48)
endif
LINE := $(if $(filter 48,$(WASMTIME)),-48)

all: release$(LINE) ## build build/bin/shannon (the default); WASMTIME=48: with that line
	@mkdir -p build/bin
	@ln -sfn ../release$(LINE)/bin/shannon build/bin/shannon
	@ln -sfn release$(LINE)/share build/share
	@echo 'build/bin/shannon is ready. `make run` shows what it does.'

run: all ## build, then watch an agent finish although its server is killed
	@scripts/run-demo

model: deps ## serve the small model of `make run` where agents look for one, until Ctrl-C
	@echo 'http://127.0.0.1:11434/v1 answers when a line says 11434; Ctrl-C ends it.'
	@python3 scripts/local-model.py --small --port 11434 --max-seconds 31536000

# The tests proper come last, so that their summary is the last thing on the screen.
test: asan tsan fuzz ## every test, at the size that fits CI
	@$(MAKE) test-dev
test-all: ## every test, the long sweeps included
	@SHANNON_CRASH_ALL=1 SHANNON_LONG=1 SHANNON_FUZZ_SECONDS=300 $(MAKE) test
test-dev: dev$(LINE) ## the tests without sanitizers and fuzzers
	@ctest --preset dev$(LINE) -j$(JOBS); status=$$?; scripts/skipped build/dev$(LINE); exit $$status
test-lts: dev-48 ## the tests that reach Wasmtime, with its supported line 48
	@scripts/test-lts -j$(JOBS)

asan: deps ## unit tests and corpora under AddressSanitizer and UndefinedBehaviorSanitizer
	$(call build,asan)
	@ctest --preset asan -j$(JOBS)
tsan: deps ## unit tests of the parts with threads under ThreadSanitizer
	$(call build,tsan)
	@ctest --preset tsan -j$(JOBS)
fuzz: deps ## run every fuzz target for SHANNON_FUZZ_SECONDS (30)
	$(call build,fuzz)
	@scripts/fuzz build/fuzz
	@if scripts/native-build ready; then $(MAKE) fuzz-native; \
	else echo 'fuzz: native/ is not compiled here (make does it): modules are not run'; fi
fuzz-native: deps ## of them, those that run modules under the real runtime
	$(call build,fuzz-native,fuzz-native)
	@scripts/fuzz build/fuzz-native

lint: deps ## formatting, clang-tidy, house rules, spelling, scripts
	@scripts/lint
format: deps ## let clang-format rewrite what it would complain about
	@scripts/lint --fix

bench: all ## measure, and write build/bench.json
	$(call build,release$(LINE),bench)
	@bench/run build/release$(LINE)

install: all ## install below PREFIX (/usr/local); DESTDIR is respected
	@cmake --install build/release$(LINE) --prefix $(PREFIX)

clean: ## remove build/ (the compiled native/ stays in the user's cache)
	@rm -rf build

deps: ## install what is missing, or say how
	@scripts/deps
release dev release-48 dev-48: deps
	$(call build,$@)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

.PHONY: all run model test test-all test-dev test-lts asan tsan fuzz fuzz-native lint format bench install clean deps \
    release dev release-48 dev-48 help
# make -j would mix the output of steps that are parallel inside already.
.NOTPARALLEL:
