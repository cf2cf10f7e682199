# Everything that a working copy needs. `make help` lists the targets.

VENV := .venv
BIN := $(VENV)/bin
PIP := scripts/pip-install.sh $(VENV)
CONFIG ?= configs/all-in-one.yaml
ARGS ?=

export PIP_NO_INPUT := 1

.PHONY: help setup run test check check-style check-types check-generated check-pages docs dashboard bench lock clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '  ## ' Makefile
	@echo 'CONFIG=FILE chooses what `make run` runs; ARGS="..." is passed on by run, test and bench.'

setup: $(VENV)/.project  ## set up .venv with the locked dependencies and this working copy

run: $(VENV)/.project dashboard  ## validate configs/all-in-one.yaml and run it on this host
	@$(BIN)/ophion-agent validate --config $(CONFIG)
	@$(BIN)/ophion-agent run --config $(CONFIG) $(ARGS)

test: $(VENV)/.dev dashboard  ## run the tests
	@$(BIN)/python hatch_build.py npm test --silent
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

check: check-style check-types check-generated check-pages  ## lint, formatting, types, import rules and generated documentation

check-style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

check-types: $(VENV)/.dev
	$(BIN)/mypy

check-generated: $(VENV)/.dev
	$(BIN)/python scripts/generate_reference.py --check
	$(BIN)/python scripts/generate_api_docs.py --check
	$(BIN)/python scripts/generate_promql_differences.py --check

check-pages: $(VENV)/.project $(VENV)/.node
	$(BIN)/python hatch_build.py npm run --silent check
	$(BIN)/python hatch_build.py $(CURDIR)/$(BIN)/python $(CURDIR)/scripts/generate_api_client.py --check

docs: $(VENV)/.project  ## write the generated tables of docs/configuration.md and docs/api.md anew
	$(BIN)/python scripts/generate_reference.py
	$(BIN)/python scripts/generate_api_docs.py
	$(BIN)/python scripts/generate_promql_differences.py
	$(BIN)/python hatch_build.py $(CURDIR)/$(BIN)/python $(CURDIR)/scripts/generate_api_client.py

# Looks at the source by itself, and does nothing where the pages are those of the source.
dashboard: $(VENV)/.project $(VENV)/.node  ## build the pages of the dashboard
	@$(BIN)/python hatch_build.py

bench: $(VENV)/.bench  ## measure against the peers
	@$(BIN)/python -m benchmarks $(ARGS)

lock:  ## write requirements/*.txt anew from pyproject.toml; ARGS=--upgrade takes the newest versions
	@scripts/lock.sh $(ARGS)

clean:  ## remove what the other targets made
	rm -rf plugins/ophion_dashboard/static plugins/ophion_dashboard/ui/node_modules
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A changed lock makes the environment anew, so that it never holds more than the lock says.
$(VENV)/.server: requirements/server.txt requirements/build.txt
	@rm -rf $(VENV)
	@$(PIP) --require-hashes -r requirements/server.txt -r requirements/build.txt
	@touch $@

# The pages are built by a step of their own, which shows what it does.
$(VENV)/.project: $(VENV)/.server pyproject.toml
	@OPHION_DASHBOARD=skip $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# Node.js builds the pages: the machine's own, or one from the package registry.
$(VENV)/.node: $(VENV)/.server requirements/node.txt
	@$(BIN)/python hatch_build.py has-node || $(PIP) --require-hashes -r requirements/node.txt
	@touch $@

# One pip at a time: Node.js may be a package too.
$(VENV)/.dev: $(VENV)/.project requirements/dev.txt | $(VENV)/.node
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	@$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@
