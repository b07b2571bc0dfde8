# Every target does its own set-up on a fresh Debian 12 machine that has only a Rust toolchain: `make help`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Build results stay outside the checkout, so that every checkout shares them.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/flame/target
# A toolchain installed a minute ago is not yet in the shell's PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

FLAME := $(CARGO_TARGET_DIR)/debug/flame
# What a skipped check left behind: `loud_skip` of crates/test-kit appends to this file, `test` counts its lines.
export FLAME_SKIPS := $(CARGO_TARGET_DIR)/flame-skips.txt

.PHONY: help deps build run demo test test-portal fuzz bench soak images push test-images

help: ## list these targets
	@echo "FLAME: make TARGET (build results in $(CARGO_TARGET_DIR))"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20 \
	  | { [ -x bench/run ] && cat || grep -v '^  make bench '; } \
	  | { [ -x images/build ] && cat || grep -v -e '^  make images ' -e '^  make push ' -e '^  make test-images '; }

deps: ## name and install missing Debian packages, check the Rust toolchain
	@tools/deps build run

build: deps ## build the portal, flame with it inside, and beside it flame-media and what templates start
	@tools/build-time
	@portal/build
	@cargo build --locked -p flame -p flame-media -p flame-vcdn

run: build ## start everything on loopback with one command (flame up)
	@$(FLAME) up

demo: build ## the main job on a real clip, step by step (flame demo vod)
	@tools/deps demo
	@$(FLAME) demo vod

# Each test has folders of its own; scanning GStreamer's plugins for each would take a good part of the whole time.
test: export GST_REGISTRY := $(CARGO_TARGET_DIR)/gstreamer-registry.bin
test: ## set up what tests need, then run the whole suite
	@tools/deps build run demo test
	@tools/build-time
	@portal/build --test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@media-tests/clips/fetch --all >/dev/null
	@media-tests/judges/set-up
	@rm -f $(FLAME_SKIPS)
	cargo test --locked --workspace --doc --quiet
	cargo nextest run --locked --workspace
	@if [ -s $(FLAME_SKIPS) ]; then \
	  echo "SKIPPED, $$(wc -l < $(FLAME_SKIPS)) checks could not be made here:"; sed 's/^/  /' $(FLAME_SKIPS); fi

test-portal: export GST_REGISTRY := $(CARGO_TARGET_DIR)/gstreamer-registry.bin
test-portal: ## the part of it that is the portal: unit tests, and a person's way in Chromium
	@tools/deps build run demo test
	@portal/build --test
	@media-tests/clips/fetch --all >/dev/null
	@media-tests/judges/set-up
	cargo nextest run --locked --workspace -E 'package(flame-media-tests) & test(/^portal/)'

fuzz: deps ## run each fuzz target for a minute (fuzz/run TARGET... runs some)
	@fuzz/run

bench: deps ## measure side by side with peers; bench-NAME measures one of them
	@tools/deps demo bench
	@bench/run all

bench-%: deps
	@tools/deps demo bench
	@bench/run $*

# What the virtual CDN is judged by is more than its surrogate: `bench/run vcdn` measures that alone.
.PHONY: bench-vcdn
bench-vcdn: bench-edge

soak: deps ## kill -9 amid uploads (KILLS=100) and chunks, and a live channel with viewers for an hour (MINUTES=60): is memory flat?
	@tools/deps demo bench test
	FLAME_KILLS=$(or $(KILLS),100) cargo nextest run --locked --workspace --profile soak \
	  -E 'package(flame-ingest) & test(crash::killed_at_random)'
	FLAME_CHUNK_KILLS=20 cargo nextest run --locked --workspace --profile soak \
	  -E 'package(flame-transcode) & test(chunks::kill_9)'
	@bench/run soak --minutes $(or $(MINUTES),60)

images: ## build the container images (images/)
	@images/build

push: ## push them: make push REGISTRY=registry.example/flame TAG=edge
	@images/push

test-images: ## build, push to a registry of its own, pull and run them in a clean room (half an hour, with the release build)
	@tools/deps build run demo images
	@images/test
