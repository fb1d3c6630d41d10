# The targets that people call; `make help` lists them. Everything is installed into .venv in this checkout.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where the images are: by these names the chart asks for them.
REGISTRY ?= ghcr.io/jobrun
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: install
install: $(STAMP) ## Make .venv with the command jobrun and the tools of development

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "JobRun needs Python 3.11 or later; say which with PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[operator,local,worker,dev]'
	@touch $@

.PHONY: demo
demo: install ## Sunrise and sunset at thousands of airports, at a rate, on a growing and shrinking number of workers
	@mkdir -p build
	$(BIN)/jobrun local run examples/daylight/jobrun.yaml --tasks examples/daylight/airports.csv --results build/daylight.jsonl --max-workers 4

.PHONY: test
test: lint ## Everything: formatting, lint, types, import contracts, generated files and all tests
	$(BIN)/pytest -q -n 3 --dist loadfile

.PHONY: lint
lint: install ## Formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .

.PHONY: format
format: install ## Rewrite the files as the formatter wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: accept
accept: install ## Print each bound that must hold, as measured here, with its limit
	PYTHONPATH=tests $(BIN)/python -m accept $(ONLY)

.PHONY: faults
faults: install ## Runs that are killed, frozen, cut off and filled up by a seeded schedule: SCHEDULES=20 SEED=7 JOBS=2; FULL=1 for all at full rate
	PYTHONPATH=tests $(BIN)/python -m faults --schedules $(or $(SCHEDULES),20) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2) $(if $(FULL),--full)

.PHONY: bench
bench: install ## Tasks a second next to what else there is: ROUNDS=5 MEASURES="release work" CONTENDERS="c-client jobrun" JETSTREAM="sync_interval: always"
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks --rounds $(or $(ROUNDS),5) --measures "$(MEASURES)" --contenders "$(CONTENDERS)" \
	  --jetstream "$(JETSTREAM)"

.PHONY: scaling
scaling: install ## Simulate scaling next to KEDA and an ideal; writes docs/scaling.md and docs/scaling/
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	PYTHONPATH=. $(BIN)/python -m benchmarks.scaling --docs

.PHONY: crds
crds: install ## Generate crds/, the chart's copy of it and the references in docs/
	$(BIN)/python -m jobrun_operator.api.render crds --docs docs/api.md
	$(BIN)/python helm/generate.py

.PHONY: images
images: ## Build the images of operator and worker (needs Docker); REGISTRY=registry.example/team for one of your own
	for target in operator worker; do \
	  SOURCE_DATE_EPOCH=$$(git log -1 --pretty=%ct) docker build --target $$target --tag $(REGISTRY)/$$target:$(VERSION) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) . || exit 1; \
	done

.PHONY: kind
kind: install ## A kind cluster with images, chart and examples, run to their end (needs Docker); KEEP=1 leaves it
	tests/e2e/kind.sh

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
