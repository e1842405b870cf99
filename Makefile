# What people type. `make run` and `make test` do all set-up themselves.

CARGO ?= cargo
BIN := $(or $(CARGO_TARGET_DIR),target)/release/formicarium
PAGE := viewer/dist/index.html
PAGE_SOURCES := $(shell find viewer/src viewer/public -type f 2>/dev/null) viewer/index.html viewer/package-lock.json viewer/vite.config.ts

AGENTS := $(or $(CARGO_TARGET_DIR),target)/agents
MCP := $(or $(CARGO_TARGET_DIR),target)/mcp
EXPORT := $(or $(CARGO_TARGET_DIR),target)/export

.PHONY: run build agents viewer test test-all test-agents test-tools test-viewer test-rust test-export test-page bench storm sim generated image image-test lint fmt bless bless-format clean

## Build everything and watch eight harvesters share a field of apples. Others than these: make run CAST=greedy
run: build
	$(BIN) run commons $(if $(CAST),--cast $(CAST)) --mode realtime --hz 8 --ticks 0 --isolation best

## The host, the shipped agents and the page that it embeds.
build: $(PAGE)
	$(CARGO) build --release --locked

## Real coding agents for the casts that seat them, pinned: Claude Code, its ACP adapter, the Agent SDKs. About 1 GB.
agents:
	sh agents/examples/install.sh $(AGENTS)

## The page alone. Without Node the host embeds a note on how to build it.
viewer: $(PAGE)

$(PAGE): $(PAGE_SOURCES)
	@if ! command -v npm >/dev/null; then \
	  echo "note: there is no npm here; the host will embed a page that says how to build the viewer (Node 20 or newer)"; \
	else cd viewer && npm ci --no-audit --no-fund && npm run build; fi

## All tests: engine, agents, host with real processes, page in a real browser.
test:
	@target=$$(sh tests/target.sh) && CARGO_TARGET_DIR="$$target" $(MAKE) --no-print-directory test-all

test-all: test-tools build test-viewer test-rust test-export test-agents test-page

## Programs that tests need; installed where that may be done, named where not. Without the real coding agents their
## tests say that they were not run, and the others are.
test-tools:
	@sh tests/tools.sh
	@sh tests/mcp/install.sh $(MCP) || echo "NOT TESTED: seats for MCP clients, whose client could not be installed (see above)" >&2
	@sh tests/export/install.sh $(EXPORT) || echo "NOT TESTED: exported tables in polars, which could not be installed (see above)" >&2
	@sh agents/examples/install.sh $(AGENTS) || echo "NOT TESTED: the real coding agents could not be installed (see above)" >&2

test-viewer: $(PAGE)
	cd viewer && npm test

test-rust: build
	FORMICARIUM_BIN=$(abspath $(BIN)) $(CARGO) test --locked
	$(CARGO) test --locked --features sim --test sim
	python3 agents/examples/test_examples.py
	FORMICARIUM_BIN=$(abspath $(BIN)) python3 scenarios/commons/claims.py --seeds 20

## Exported tables, read by polars, and the pictures of docs/export/plots.py.
test-export: build
	@test ! -f $(EXPORT)/installed || FORMICARIUM_BIN=$(abspath $(BIN)) $(EXPORT)/venv/bin/python tests/export/test_export.py

## The stand-in of the model's API, what plays against it, and MCP clients with the protocol's own suite.
test-agents: build
	@test ! -f $(MCP)/installed || FORMICARIUM_BIN=$(abspath $(BIN)) $(MCP)/venv/bin/python tests/mcp/test_mcp.py
	@test ! -f $(MCP)/installed || FORMICARIUM_BIN=$(abspath $(BIN)) $(MCP)/venv/bin/python tests/mcp/conformance.py $(MCP)
	python3 tests/standin/test_standin.py
	FORMICARIUM_BIN=$(abspath $(BIN)) FORMICARIUM_AGENTS=$(abspath $(AGENTS)) python3 tests/sdk/test_sdk.py
	FORMICARIUM_BIN=$(abspath $(BIN)) FORMICARIUM_AGENTS=$(abspath $(AGENTS)) python3 tests/acp/test_acp.py

test-page: build
	cd viewer && FORMICARIUM_BIN=$(abspath $(BIN)) npm run test:e2e

## Figures of BENCHMARKS.md; ratios against limits measured in the same run.
bench: build
	FORMICARIUM_BIN=$(abspath $(BIN)) $(CARGO) bench --locked

## The claims about the shipped scenarios, which `make test` checks over 20 seeds, over SEEDS seeds.
## Before that desks and broker, killed KILLS times, then as often the host with sixteen agents that share files, and as often
## the host of each of three runs that go on.
SEEDS ?= 200
KILLS ?= 200
storm: build
	FORMICARIUM_STORM_ROUNDS=$(KILLS) $(CARGO) test --locked -p formicarium-agents --test storm
	FORMICARIUM_BIN=$(abspath $(BIN)) FORMICARIUM_STORM_ROUNDS=$(KILLS) $(CARGO) test --locked --test it storm -- --nocapture
	FORMICARIUM_BIN=$(abspath $(BIN)) FORMICARIUM_RESUME_KILLS=$(KILLS) $(CARGO) test --locked --test it resume -- --nocapture
	FORMICARIUM_BIN=$(abspath $(BIN)) python3 scenarios/commons/claims.py --seeds $(SEEDS)

## COUNT generated scenarios, from the number SEED on: run, replayed, cut at keyframes, recorded, verified, forked, with equal
## hashes each time. A failure names its number; SEED=NUMBER COUNT=1 makes it alone.
COUNT ?= 1000
generated: build
	FORMICARIUM_BIN=$(abspath $(BIN)) FORMICARIUM_GENERATED_COUNT=$(COUNT) FORMICARIUM_GENERATED_SEED=$(or $(SEED),1) \
	  $(CARGO) test --locked --test it generated -- --nocapture

## The host under seeded faults, over SEEDS seeds; SEED=n runs that one alone, or with SEEDS those from it on.
sim:
	FORMICARIUM_SIM_SEED=$(SEED) FORMICARIUM_SIM_SEEDS=$(if $(SEED),$(if $(filter command,$(origin SEEDS)),$(SEEDS)),$(SEEDS)) \
	  $(CARGO) test --locked --features sim --test sim -- --nocapture

## The image of the Dockerfile without a Docker engine: by Podman, on bases made by debootstrap. As root, on Debian.
IMAGE ?= formicarium
image:
	sh tests/image/build.sh $(IMAGE)

## The image as its users start it: the escape suite inside, and a run; as root, and as another user.
image-test: image
	sh tests/image/test.sh $(IMAGE)

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --features sim --test sim --locked -- -D warnings

fmt:
	$(CARGO) fmt --all

## Writes golden hashes and generated files anew. Read the difference before you commit it.
bless:
	FORMICARIUM_BLESS=1 UPDATE_EXPECT=1 $(CARGO) test --locked

## Writes the golden recordings of this format anew. Never once it is released: they are what released hosts have written.
bless-format:
	FORMICARIUM_BLESS_FORMAT=1 $(CARGO) test --locked --test it golden_format::

clean:
	$(CARGO) clean
	rm -rf viewer/dist viewer/node_modules
