# `make help` lists the targets. Each does its own set-up.
.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test lint proof soak bench screenshots wheel lock docs clean

# PYTHON=/path/to/python3.12 chooses the interpreter that makes .venv.
export PYTHON
PY := .venv/bin/python
# ARGS goes to the command at the end of a target: make test ARGS='-k purchases'
ARGS ?=
WORKERS ?= auto
# Tests that `make test` runs at small figures: the first are in `make proof` too, all are in `make soak`.
LONGER := tests/mail/test_message.py tests/dashboard/test_fuzz.py \
	$(addprefix tests/core/,test_rules_histories.py test_ledger_histories.py test_two_workers.py)
LONGEST := $(LONGER) $(addprefix tests/mail/,test_address.py test_content_people.py test_smtp_random.py \
	test_smtp_tcp.py)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with the locked packages and .venv/bin/tidings
	@requirements/install run

setup-test:
	@requirements/install test

run: setup ## serve on http://127.0.0.1:8080 with SQLite in ./data and a demonstration account
	@exec .venv/bin/tidings serve --demo $(ARGS)

test: lint ## every test but the long ones, on SQLite and PostgreSQL (under 15 minutes on 2 cores)
	@tests/setup/chromium.sh
	@echo "tidings: tests"
	@$(PY) -m pytest -q -n $(WORKERS) -m "not long" $(ARGS)

lint: setup-test ## ruff and mypy
	@echo "tidings: ruff"
	@$(PY) -m ruff check --quiet .
	@echo "tidings: mypy"
	@$(PY) -m mypy --no-error-summary

proof: setup-test ## the long tests, and the kill, fault, race and fuzz rigs at their CI figures (under 30 minutes)
	@tests/setup/chromium.sh
	@echo "tidings: proof, at its CI figures"
	@TIDINGS_PROOF=ci $(PY) -m pytest -q tests/proof $(ARGS)
	@TIDINGS_PROOF=ci $(PY) -m pytest -q -n $(WORKERS) $(LONGER) $(ARGS)
	@$(PY) -m pytest -q -n $(WORKERS) -m long $(ARGS)

soak: setup-test ## the same rigs at their release figures (hours)
	@echo "tidings: proof, at its release figures"
	@TIDINGS_PROOF=release $(PY) -m pytest -q tests/proof $(ARGS)
	@TIDINGS_PROOF=release $(PY) -m pytest -q -n $(WORKERS) $(LONGEST) $(ARGS)

bench: setup-test ## the benchmarks, each against its limit measured in the same run
	@$(PY) -m bench $(ARGS)
	@$(if $(ARGS),true,for part in sending hits webhooks rules pages; do echo; echo "bench.$$part"; $(PY) -m bench.$$part || exit 1; done)

screenshots: setup-test ## a picture of every page of the dashboard, with contact sheets, into build/screenshots/
	@tests/setup/chromium.sh
	@$(PY) -m tests.dashboard.screenshots $(ARGS)

wheel: setup ## build the wheel into dist/
	@$(PY) -m pip --disable-pip-version-check wheel --quiet --no-index --no-deps --no-build-isolation \
		--wheel-dir dist .
	@ls dist/*.whl

lock: ## write requirements/*.txt anew from the .in files (needs uv)
	@requirements/lock $(ARGS)

docs: setup-test ## write the generated pages of docs/ anew
	@$(PY) -m tests.house.write

clean: ## remove what building and testing left; .venv and data stay
	@rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis
	@find . -path ./.venv -prune -o -path ./node_modules -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
