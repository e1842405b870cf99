# What people type. `make run` and `make test` do all set-up themselves.

CARGO ?= cargo
BIN := $(or $(CARGO_TARGET_DIR),target)/release/formicarium
PAGE := viewer/dist/index.html
PAGE_SOURCES := $(shell find viewer/src viewer/public -type f 2>/dev/null) viewer/index.html viewer/package-lock.json viewer/vite.config.ts

.PHONY: run build viewer test test-tools test-viewer test-rust test-page test-mcp bench storm lint fmt bless clean

## Build everything and watch eight harvesters share a field of apples. Others than these: make run CAST=greedy
run: build
	$(BIN) run commons $(if $(CAST),--cast $(CAST)) --mode realtime --hz 8 --ticks 0

## The host, the shipped agents and the page that it embeds.
build: $(PAGE)
	$(CARGO) build --release --locked

## The page alone. Without Node the host embeds a note on how to build it.
viewer: $(PAGE)

$(PAGE): $(PAGE_SOURCES)
	@if ! command -v npm >/dev/null; then \
	  echo "note: there is no npm here; the host will embed a page that says how to build the viewer (Node 20 or newer)"; \
	else cd viewer && npm ci --no-audit --no-fund && npm run build; fi

## All tests: engine, agents, host with real processes, page in a real browser.
test: test-tools build test-viewer test-rust test-page

## Programs that tests need; installed where that may be done, named where not.
test-tools:
	@sh tests/tools.sh

test-viewer: $(PAGE)
	cd viewer && npm test

test-rust: build
	FORMICARIUM_BIN=$(abspath $(BIN)) $(CARGO) test --locked
	python3 agents/examples/test_examples.py
	FORMICARIUM_BIN=$(abspath $(BIN)) python3 scenarios/commons/claims.py --seeds 20

test-page: build
	cd viewer && FORMICARIUM_BIN=$(abspath $(BIN)) npm run test:e2e

## A stock MCP client at a seat, and the protocol's conformance suite; fetches both the first time.
test-mcp: build
	sh tests/mcp/install.sh target/mcp
	FORMICARIUM_BIN=$(abspath $(BIN)) target/mcp/venv/bin/python tests/mcp/test_mcp.py
	FORMICARIUM_BIN=$(abspath $(BIN)) target/mcp/venv/bin/python tests/mcp/conformance.py target/mcp

## Figures of BENCHMARKS.md; ratios against limits measured in the same run.
bench: build
	FORMICARIUM_BIN=$(abspath $(BIN)) $(CARGO) bench --locked

## The claims about the shipped scenarios, which `make test` checks over 20 seeds, over SEEDS seeds.
SEEDS ?= 200
storm: build
	FORMICARIUM_BIN=$(abspath $(BIN)) python3 scenarios/commons/claims.py --seeds $(SEEDS)

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt:
	$(CARGO) fmt --all

## Writes golden hashes and generated files anew. Read the difference before you commit it.
bless:
	FORMICARIUM_BLESS=1 UPDATE_EXPECT=1 $(CARGO) test --locked

clean:
	$(CARGO) clean
	rm -rf viewer/dist viewer/node_modules
