# `make help` lists the targets. All of them except `run` and `bench` share one build of llama.cpp, in
# the dev profile.

PORT  ?= 3000
MODEL ?=
ARGS  ?=
# The GPU backend of the release that exists, so that `make run` does not replace it by a build for
# the CPU. `make run FEATURES=` builds for the CPU, `make run FEATURES=cuda` for NVIDIA GPUs.
FEATURES ?= $(shell "$(TARGET)/release/inference-core" --version 2>/dev/null | \
	awk '$$1 == "backend" && $$2 != "cpu" { print $$2 }')

# With 0, `make test` downloads no models and skips the tests that need them.
REAL_MODELS ?= 1
export REAL_MODELS

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

.PHONY: help run test web web-tests test-faults attacks fmt lint doc rust-tests deny real-models \
	python-tests client-tests test-formats autobahn fuzz mutants bench setup setup-test
.DEFAULT_GOAL := help

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make run MODEL=model.gguf PORT=4000 ARGS="--ctx-size 4096"   choose a model, a port and options'
	@echo '  make run FEATURES=cuda                       build for NVIDIA GPUs; later runs keep that'
	@echo '  make bench QUICK=1 ONLY="one-stream ttft"   a short run of two scenarios; see tools/bench/README.md'

run: setup web ## Install missing tools, build a release and serve the demo model on port 3000
	cargo build --release$(if $(FEATURES), --features $(FEATURES))
	@exec "$(TARGET)/release/inference-core" $(if $(MODEL),"$(MODEL)",--demo) $(PORT) $(ARGS)

# Fast checks come first. The Python tests come last because they use the binary of the Rust tests.
test: setup-test ## Install missing tools, then run all checks: format, lints, docs, tests
	@$(MAKE) --no-print-directory fmt
	@$(MAKE) --no-print-directory web
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory doc
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory real-models
	@$(MAKE) --no-print-directory rust-tests
	@$(MAKE) --no-print-directory web-tests
	@$(MAKE) --no-print-directory python-tests
	@$(MAKE) --no-print-directory client-tests

# The program contains web/dist, so this comes before a build. cargo builds again when it has changed.
WEB_PAGE := web/dist/index.html
WEB_MODULES := web/node_modules/.package-lock.json
WEB_SOURCES := $(shell find web -type d \( -name node_modules -o -name dist -o -name tests \) -prune \
	-o -type f -print 2>/dev/null) scripts/compress.mjs

# The page is optional: without it the server has a page that says how to get it.
web: setup ## Build the web page, which the next build of the server contains
	@if [ ! -e web/package.json ]; then \
		echo 'skipped: the web page, because there is no folder web'; \
	elif ! command -v npm >/dev/null || ! node scripts/compress.mjs --check; then \
		echo 'skipped: the web page needs Node.js 18 or newer with npm'; \
	elif ! $(MAKE) --no-print-directory $(WEB_MODULES); then \
		echo 'skipped: the web page, because npm cannot fetch its packages'; \
	else \
		$(MAKE) --no-print-directory $(WEB_PAGE); \
	fi

$(WEB_MODULES): web/package.json web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(WEB_PAGE): $(WEB_SOURCES) $(WEB_MODULES)
	cd web && npm run --silent build
	@node scripts/compress.mjs web/dist

CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,\
	$(shell command -v $(name))))

# The tests in a browser use the binary of `make rust-tests`, which contains the page.
web-tests: web ## Test the web page: types, units, and in Chromium with the server
	@if [ ! -e $(WEB_PAGE) ]; then \
		echo 'skipped: the tests of the web page, which was not built'; \
	else \
		(cd web && npm run --silent check && npm run --silent test) && \
		if [ -z "$(CHROMIUM)" ]; then \
			echo 'skipped: the tests of the web page in a browser, because Chromium is missing'; \
		else \
			cargo build --bin inference-core --example scripted && \
			cd web && CHROMIUM="$(CHROMIUM)" INFERENCE_CORE_BIN="$(TARGET)/debug/inference-core" \
				SCRIPTED_BIN="$(TARGET)/debug/examples/scripted" npm run --silent e2e; \
		fi; \
	fi

fmt: ## Check the formatting
	cargo fmt --all --check

lint: ## Lint, with and without llama.cpp, and the fuzz targets
	cargo clippy --all-targets --no-default-features -- -D warnings
	cargo clippy --all-targets -- -D warnings
	cargo clippy --package inference-core-fuzz --features llama -- -D warnings

doc: ## Build the documentation and fail on broken links
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --document-private-items

real-models: setup-test ## Download two models and llama-server for the tests (400 MB, once)
	@if [ "$(REAL_MODELS)" = 0 ]; then \
		echo 'skipped: the tests of real models (REAL_MODELS=0)'; \
	else \
		.venv/bin/python tools/bench/fetch.py "$(TARGET)"; \
	fi

rust-tests: ## Run the Rust tests
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo 'cargo nextest run' && cargo nextest run && \
		echo 'cargo test --doc' && cargo test --doc; \
	else \
		echo 'cargo test' && cargo test; \
	fi

test-faults: setup-test ## Disturb the model's process, change files, run fuzz targets (25 minutes)
	cargo build
	.venv/bin/python tools/faults/faults.py "$(TARGET)/debug/inference-core"
	.venv/bin/python tools/fuzz/mutants.py "$(TARGET)/debug/inference-core"
	.venv/bin/python tools/attacks/attacks.py --short "$(TARGET)/debug/inference-core"
	@$(MAKE) --no-print-directory fuzz TIME=60

mutants: setup-test ## Serve 1,000 model files that were changed in many ways (three minutes)
	cargo build
	.venv/bin/python tools/fuzz/mutants.py "$(TARGET)/debug/inference-core"

# The compiler adds what libFuzzer needs to the crates of this workspace only, so that the build of
# llama.cpp is shared with all other targets.
TIME ?= 60

# ONLY names some of the targets.
fuzz: setup-test ## Run the fuzz targets for TIME seconds each (60), see docs/adr/0044-fuzzing.md
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/fuzz/instrument.sh" \
		cargo build --package inference-core-fuzz --features llama --bins
	.venv/bin/python tools/fuzz/fuzz.py "$(TARGET)" --time $(TIME) $(if $(ONLY),--only $(ONLY))

# The suite needs a Python 2.7 with pip: `make autobahn PYTHON2=/path/to/python2.7`.
PYTHON2 ?= python2.7

autobahn: ## Run the Autobahn suite of WebSocket cases (needs Python 2.7 as PYTHON2)
	cargo build --no-default-features --features echo --example echo
	python3 tools/autobahn/autobahn.py --python2 "$(PYTHON2)" \
		"$(TARGET)/debug/examples/echo" "$(TARGET)/autobahn"

attacks: setup-test ## Attack a daemon in many ways (10 minutes) and measure what honest clients see
	cargo build --release
	.venv/bin/python tools/attacks/attacks.py "$(TARGET)/release/inference-core"

deny: ## Check the licences and sources of the dependencies
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny check bans licenses sources; \
	else \
		echo 'skipped: cargo-deny is not installed (it checks the licences and sources of dependencies)'; \
	fi

python-tests: setup-test ## Test test_client.py, and real models with the binary of `make rust-tests`
	INFERENCE_CORE_BIN="$(TARGET)/debug/inference-core" \
		.venv/bin/python -m pytest -p no:cacheprovider -rs tests/python

# FORMAT_SEEDS is the number of answers for each of the 30 schemas.
FORMAT_SEEDS ?= 10

test-formats: setup-test ## Ask SmolLM2 for 300 answers that have to fit a schema, and validate them
	cargo build --bin inference-core
	INFERENCE_CORE_BIN="$(TARGET)/debug/inference-core" FORMAT_SEEDS=$(FORMAT_SEEDS) \
		.venv/bin/python -m pytest -p no:cacheprovider -s tests/python/test_real_formats.py

# instructor has a virtual environment of its own, because it needs an older version of openai.
CLIENTS_VENV := $(TARGET)/clients

client-tests: setup-test ## Try programs of others with the daemon, and fuzz the HTTP APIs
	cargo build --bin inference-core --example scripted
	@if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo 'skipped: the packages of tests/clients need Python 3.11'; exit; \
	fi; \
	packages() { \
		cmp -s "tests/clients/$$1" "$$2/requirements.txt" || { \
			echo "setup: installing the packages of tests/clients/$$1" && \
			python3 -m venv --clear "$$2" && \
			"$$2/bin/python" -m pip install --quiet --disable-pip-version-check \
				--require-hashes --requirement "tests/clients/$$1" && \
			cp "tests/clients/$$1" "$$2/requirements.txt"; \
		}; \
	}; \
	packages requirements.txt "$(CLIENTS_VENV)" && \
	packages instructor.txt "$(CLIENTS_VENV)-instructor" && \
	if command -v npm >/dev/null; then \
		(cd tests/clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || { \
			rm -rf tests/clients/node_modules; \
			echo 'skipped: the clients in JavaScript, because npm cannot fetch their packages'; \
		}; \
	else \
		echo 'skipped: the clients in JavaScript need Node.js with npm'; \
	fi && \
	"$(CLIENTS_VENV)/bin/python" -m pytest -p no:cacheprovider -rs tests/clients

# Each variable that is set becomes the option of the same name.
BENCH_OPTIONS = $(if $(filter-out 0,$(QUICK)),--quick) \
	$(foreach name,ONLY TURNS SOAK THREADS PEERS MODELS VOCAB,$(if $($(name)),\
	--$(shell echo $(name) | tr A-Z a-z) "$($(name))"))
BENCH_VENV := $(TARGET)/bench/venv

bench: setup-test ## Compare with llama.cpp's programs (one hour) and write docs/BENCHMARKS.md
	cargo build --release --bins --examples
	@cmp -s tools/bench/requirements.txt "$(BENCH_VENV)/requirements.txt" || { \
		python3 -m venv --clear "$(BENCH_VENV)" && \
		"$(BENCH_VENV)/bin/python" -m pip install --quiet --disable-pip-version-check \
			-r tools/bench/requirements.txt && \
		cp tools/bench/requirements.txt "$(BENCH_VENV)/"; }
	"$(BENCH_VENV)/bin/python" tools/bench/bench.py --target "$(TARGET)" $(BENCH_OPTIONS)

setup:
	@sh scripts/setup.sh

setup-test:
	@sh scripts/setup.sh test
