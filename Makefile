# One machine, Python 3.11 and make: every target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DAGSTER_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help demo up down check test test-browser test-databases test-platforms test-sdk test-stream test-tensorflow bench bench-models lock clean

help: ## Explain each target in a line
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## Run one night over three demo partners on real data and print their insights
	@$(BIN)/integrator demo

up: $(STAMP) ## Serve Dagster, MLflow, the realtime API and the sandbox until Ctrl-C
	@$(BIN)/integrator up

down: $(STAMP) ## Stop the embedded PostgreSQL and Redis
	@$(BIN)/integrator down

check: $(STAMP) ## Lint, types, layers, SQL, dbt parse, and no registry's host in any tracked file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 2 dbt_project
	$(BIN)/dbt parse --quiet --project-dir dbt_project --profiles-dir dbt_project
	$(BIN)/python scripts/check_tree.py
	$(BIN)/python scripts/docs.py --check

test: $(STAMP) check ## Run every test, after make check
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-platforms: $(STAMP) ## Drive a real pretix, installed from its own package, and see its changes arrive
	$(BIN)/python -m pytest tests/platforms --timeout 900

test-sdk: $(STAMP) ## Build the JavaScript client and run it and the Node webhook receiver against the service (Node 20)
	@command -v npm >/dev/null || { echo "no npm found; Node 20 is needed for the JavaScript client"; exit 1; }
	$(BIN)/python -m pytest tests/sdk

test-databases: $(STAMP) ## Write insights into a real MariaDB (Debian's package, installed if it is missing)
	@command -v mariadbd >/dev/null || test -x /usr/sbin/mariadbd || { apt-get -q update && apt-get install -q -y mariadb-server; } \
	  || { echo "no mariadbd found and it could not be installed: apt-get install mariadb-server"; exit 1; }
	$(BIN)/python -m pytest tests/databases

test-browser: $(STAMP) ## Drive a host's page in a real Chromium (installed if it is missing), and one record to every place there is
	@test -x /usr/bin/chromium || { apt-get -q update && apt-get install -q -y chromium; } \
	  || { echo "no /usr/bin/chromium found and it could not be installed: apt-get install chromium"; exit 1; }
	@scripts/kafka fetch >/dev/null
	$(BIN)/python -m pytest tests/browser

test-stream: $(STAMP) ## Run Apache Kafka itself (Java 17, Maven) and drive `integrator stream` through it, kills and all
	@scripts/kafka fetch >/dev/null
	$(BIN)/python -m pytest tests/stream --timeout 600

test-tensorflow: $(STAMP) ## Install the optional extra and let a TensorFlow model take part as a challenger
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements-tensorflow.lock
	$(BIN)/python -m pytest tests/tensorflow

bench-models: $(STAMP) ## Measure the models on public data beside their peers; writes docs/model-quality.md
	$(BIN)/python -m benchmarks.model_quality --write

bench: $(STAMP) ## Measure landing, nights, streams, lookups, scores and webhooks beside their peers; half an hour
	$(BIN)/python -m benchmarks

lock: ## Resolve pyproject.toml and the other sets anew into their lock files, for every Python 3.11
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra dev -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-deps -o requirements-data.lock requirements-data.in
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  -o tests/platforms/requirements.lock tests/platforms/requirements.in
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-deps -o benchmarks/requirements-models.lock benchmarks/requirements-models.in
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  -o benchmarks/requirements-feast.lock benchmarks/requirements-feast.in
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra tensorflow -c requirements.lock -o requirements-tensorflow.lock pyproject.toml

clean: ## Remove the virtual environment and all embedded data
	-@test -x $(BIN)/integrator && $(BIN)/integrator down
	rm -rf $(VENV) .integrator

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python found; allowed: Python 3.11 (set PYTHON=…)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "$(PYTHON) is $$($(PYTHON) --version); allowed: Python 3.11 (set PYTHON=…)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the packages of requirements.lock …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(STAMP)
