# Tandem: what one types. `make` alone lists it.
SHELL := /bin/bash
STEP := .ci/step
CONFIG ?= dialplans/demo/tandem.yaml
# The product is built by Rust, a C compiler (SQLite, Opus) and cmake (Opus); the tests call with real SIP programs beside that.
BUILD_PACKAGES := gcc libc6-dev cmake
TEST_PACKAGES := g++ iproute2 sip-tester baresip-core kamailio ffmpeg tcpdump espeak-ng pocketsphinx pocketsphinx-en-us
BENCH_PACKAGES := $(TEST_PACKAGES) rtpengine-daemon python3-venv python3-dev
# Thirteen fuzz targets, two at a time: a minute each.
export FUZZ_SECONDS ?= 420

.PHONY: help run build test demo bench soak api captures coverage-markup rust packages
help:
	@echo "make run       build the switch and start it with the demo configuration"
	@echo "make demo      call a demo number with baresip; print the call's timeline and where the sound lies"
	@echo "make test      every check that continuous integration runs"
	@echo "make bench     calls a second, CPU a call and a packet, latency, memory; beside Kamailio and rtpengine"
	@echo "make soak      10,000 calls at 100 a second through a network that loses 2 % of the packets; 10,000 simulated worlds"
	@echo "make coverage-markup  which elements and attributes of markup are tested, and by what"
	@echo "make api       the Python and Node SDKs of Twilio against a running switch (needs PyPI and npm; SPEC=twilio_api_v2010.json validates the answers and runs schemathesis)"
	@echo "make captures  write pcap-fixtures/ again (needs the right to capture on lo)"

rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup, or put cargo on PATH"; exit 1; }
	@{ command -v cc && command -v cmake; } >/dev/null || $(STEP) compiler .ci/apt $(BUILD_PACKAGES)

build: rust
	@$(STEP) build cargo build --release --locked

run: build
	@command -v espeak-ng >/dev/null || .ci/apt espeak-ng || echo "Say stays silent: espeak-ng is missing"
	@exec target/release/tandem run --config $(CONFIG)

demo: build
	@$(STEP) phone .ci/apt baresip-core
	@CONFIG=$(CONFIG) tests/peers/demo.sh

# An application on Node is called too, and a page in Chromium; where these cannot be had, their tests say so and are left out.
packages:
	@$(STEP) packages .ci/apt $(TEST_PACKAGES)
	@command -v npm >/dev/null || $(STEP) node .ci/apt nodejs npm || true
	@command -v chromium >/dev/null || $(STEP) chromium .ci/apt chromium || true

test: rust packages
	@begin=$$SECONDS; \
	$(STEP) fmt cargo fmt --all --check && \
	$(STEP) clippy cargo clippy --workspace --all-targets --locked -q -- -D warnings && \
	$(STEP) test cargo test --workspace --exclude interop --locked && \
	$(STEP) dialplans .ci/dialplans && \
	$(STEP) fuzz .ci/fuzz && \
	$(STEP) interop cargo test -p interop --locked --no-fail-fast -- --test-threads=2 && \
	echo "all passed in $$((SECONDS - begin)) s"

bench: build
	@$(STEP) packages .ci/apt $(BENCH_PACKAGES)
	@$(STEP) bench-build cargo build --release --locked -p bench
	@target/release/bench

soak: build
	@$(STEP) packages .ci/apt $(TEST_PACKAGES)
	@TANDEM=target/release/tandem SOAK_CALLS=$${SOAK_CALLS:-10000} cargo test --locked -p interop --test network -- --nocapture
	@SEEDS=$${SOAK_SEEDS:-10000} cargo test --locked --release --test sim -- --nocapture

coverage-markup:
	@column -t -s $$'\t' tests/markup/coverage.tsv
	@grep -v '^#' tests/markup/coverage.tsv | cut -f 3 | sort | uniq -c

api: rust packages
	@$(STEP) api .ci/api

captures:
	@$(STEP) packages .ci/apt $(TEST_PACKAGES) tshark
	@cargo run --locked -q -p interop --bin capture
