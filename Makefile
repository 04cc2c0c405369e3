# Targets for development tasks; `make help` lists them.
CARGO ?= cargo
# Arguments for `toolgate up`, e.g. make run ARGS="--listen 127.0.0.1:8080"
ARGS ?=
# Cargo's target directory, also if it is set by CARGO_TARGET_DIR.
target = $$($(CARGO) metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

host = $$(rustc -vV | sed -n 's/^host: //p')

.PHONY: help run build release test unit check fmt million drill components bench fuzz mutants setup clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start everything in one process; prints an endpoint, a token and what to type next
	@# Without optimisation, for a short build. Measure with `make release`.
	@$(CARGO) build --package toolgate
	@exec "$(target)/debug/toolgate" up $(ARGS)

build: ## Build the binary without optimisation
	$(CARGO) build --package toolgate

release: ## Build the binary as it is shipped
	$(CARGO) build --package toolgate --release

test: setup ## Install what the tests need, then run every check and every test
	$(MAKE) check
	@# The scenarios run this binary. A separate build could have other features.
	$(CARGO) build --workspace --bins --tests
	@# Runs all tests even if one fails, so that a run reports every failure.
	TOOLGATE_TEST_BINARY="$(target)/debug/toolgate" $(CARGO) test --workspace --no-fail-fast

unit: ## Run the tests that need nothing installed
	$(CARGO) test --workspace --exclude toolgate-tests

check: ## Format, lints, house rules and their tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --package toolgate-tests --test architecture --test tidy --test language --test import_cycles \
		--test text_decisions

fmt: ## Format the code
	$(CARGO) fmt --all

million: ## Run what is to hold many times at that size: guesses of session ids, calls with the same ids, requests of tenants, names in metrics
	TOOLGATE_TEST_MILLION=1 $(CARGO) test --profile drill --package toolgate-data-core --lib ti_03_guessed_session_ids_do_not_open
	TOOLGATE_TEST_MILLION=1 $(CARGO) test --profile drill --package toolgate-data-plane --test calls -- --test-threads 1 oa_17 se_07 ti_02 ti_03 ti_05 ti_08

# What `make test` counts or compares, so that a busy machine changes nothing, is held to its figure here.
drill: export TOOLGATE_TEST_DRILL = 1
drill: setup ## Run the tests that have figures of time or processor time, and assert them: by hand, on a quiet machine
	$(CARGO) build --release --package toolgate
	$(CARGO) build --profile drill --package toolgate-tests --bins
	export TOOLGATE_TEST_BINARY="$(target)/release/toolgate"; \
	  $(CARGO) test --profile drill --package toolgate-tests --no-fail-fast --test bad_input --test broken_servers \
	  --test changes --test connection_floods --test control_planes --test cut_links --test descriptors --test drains --test first_minute \
	  --test fleet --test floods --test forbidden_addresses --test giants --test http2_floods --test lost_leaders --test memory --test overload \
	  --test poisoned_store --test propagation --test push_storms --test rate_limits --test restored_store \
	  --test revocations --test rolling_restarts --test scale --test schema_bombs --test slow_connections \
	  --test slow_readers --test update_histories -- --test-threads 1
	$(CARGO) test --package toolgate-store --test etcd -- --test-threads 1
	$(CARGO) test --package toolgate-control-plane --lib over_etcd -- --test-threads 1
	$(CARGO) test --package toolgate-data-plane --test calls -- --test-threads 1
	$(CARGO) test --package toolgate-client --package toolgate-ingress --package toolgate-sync --lib -- --test-threads 1

components: ## Write the list of components of the binary (CycloneDX, JSON) to the target directory
	@$(CARGO) build --quiet --package toolgate-tests --bin components
	@"$(target)/debug/components" > "$(target)/toolgate.cdx.json"
	@echo "$(target)/toolgate.cdx.json"

bench: ## Compare direct, pass-through and gateway in one interleaved run, then the micro-benchmarks
	$(CARGO) build --release --package toolgate --package toolgate-benches
	$(CARGO) bench --package toolgate-benches

# Coverage-guided fuzzing on stable Rust. Inputs that it finds are added to the corpus, which every test run executes.
TARGET ?= envelope
SECONDS ?= 60
fuzz: ## Search for input that breaks a parser: make fuzz TARGET=envelope|batch|nested|answer|sse|header|client_state|cursor SECONDS=60
	@# The entry point of the fuzzing engine is unsafe code, so that lints are capped in this build only.
	RUSTFLAGS="--cfg fuzzing --cap-lints=allow -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
	  $(CARGO) build --release --package toolgate-fuzz --bin toolgate-fuzz --target $(host) --target-dir "$(target)/fuzz"
	TOOLGATE_FUZZ_TARGET=$(TARGET) "$(target)/fuzz/$(host)/release/toolgate-fuzz" -max_total_time=$(SECONDS) \
	  -max_len=2048 tests/fuzz/corpus/$(TARGET)

# Files to change instead of those of .cargo/mutants.toml, separated by spaces.
FILES ?=
mutants: ## Change decisions on security one at a time, and list the changes that no test notices: make mutants FILES=shared/egress/src/policy.rs
	@command -v cargo-mutants >/dev/null || $(CARGO) install --locked cargo-mutants@27.1.0
	$(CARGO) mutants --workspace $(foreach file,$(FILES),--file $(file)) --output "$(target)"

setup: ## Install what the tests need (etcd, node packages, Python packages)
	@deploy/tools/test-setup.sh

clean: ## Remove what was built, and the tests' tools with it
	$(CARGO) clean
