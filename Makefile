# Every command works from a fresh clone: it makes .venv from the hashed lock first.
.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench models lock schema clean
BIN := .venv/bin

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

LOCK ?= requirements-demo.lock
install:  ## prepare .venv from the hashed lock; LOCK=requirements.lock leaves the demo's central out
	@sh .ci/venv.sh $(LOCK)

demo: install  ## the whole pipeline on this machine; ARGS="--duration 60 --json" runs it unattended
	@$(BIN)/edge-agent demo $(ARGS)

JOBS ?= 4
# A module stays with one worker: its servers are started once. The order is kept, long modules come early.
test: dev debian check  ## lint, types, import contracts, tests; ARGS goes to pytest, JOBS=1 runs one at a time
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

.PHONY: dev debian
dev:
	@sh .ci/venv.sh requirements-dev.lock
debian:
	@sh .ci/debian.sh

check: dev  ## lint, types and import contracts only
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: dev  ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: dev debian  ## the benchmark table; ARGS="--json [--only PREFIX]" prints one JSON object
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: dev debian  ## break everything for a while, then count; ARGS="--world mqtt --seconds 600 --seed 7"
	@$(BIN)/python -m tests.chaos $(ARGS)
.PHONY: chaos

fuzz: dev  ## send what nobody would send to every entry point; ARGS="--door https-answer --inputs 100000 --seed 5"
	@$(BIN)/python -m tests.fuzz $(ARGS)
.PHONY: fuzz

.PHONY: soak
soak: dev debian  ## run the whole pipeline for hours and look whether anything grows; ARGS="--hours 24 --json"
	@$(BIN)/python -m tests.soak $(ARGS)

DATA ?= tests/data
models: dev  ## train, convert, prove and sign the shipped bundles from DATA
	@$(BIN)/edge-convert train --data $(DATA) $(ARGS)

lock:  ## renew the hashed locks (needs uv)
	@sh .ci/lock.sh

.PHONY: locks
locks:  ## make each lock's environment from nothing with each Python there is; LOCKS="..." PYTHONS="..." choose
	@sh .ci/locks.sh

schema: dev  ## renew what is generated: the JSON schema, docs/CONFIGURATION.md, docs/FEATURES.md, models_onnx/README.md
	@$(BIN)/edge-agent validate --schema > config/edge.schema.json
	@$(BIN)/python -m docs.configuration_reference > docs/CONFIGURATION.md
	@$(BIN)/python -m docs.feature_reference > docs/FEATURES.md
	@$(BIN)/python -m docs.model_reference > models_onnx/README.md

clean:  ## remove what was generated, also the demo's state
	@rm -rf .venv .demo .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
