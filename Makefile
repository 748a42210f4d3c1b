# What a developer or an operator types; every target builds what it needs first.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.requirements
READY_DEV := $(VENV)/.requirements-dev

.PHONY: run demo test screenshots fuzz faults check schema release-schema bench lint lock clean

run: $(READY)
	@$(PY) main.py $(ARGS)

demo: $(READY)
	@$(PY) main.py --demo $(ARGS)

# POSTGRES_BIN names the folder of the Postgres to test on; 'wheel' is the 18 that pip brings.
test: $(READY_DEV)
	@$(PY) -m tests.browser.chromium
	@$(PY) -m tests.contract.node
	@$(PY) -m pytest -n auto -m "not faults and not fuzz and not deploy"
	@echo "Once more on SQLite: everything that a database decides."
	@TEST_DATABASE=sqlite $(PY) -m pytest -n auto -m "database and not postgres" toolkit clients mailings messages_app webhooks reports

# Every page of the console, to be looked at: in var/pictures, and docs/images.
screenshots: $(READY_DEV)
	@$(PY) -m tests.browser.chromium
	@$(PY) -m pytest -n0 tests/browser/screenshots.py

# Made-up requests to the whole API, as everybody who may call it (tests/contract).
fuzz: $(READY_DEV)
	@$(PY) -m pytest -n0 -s -m fuzz tests/contract

# Faults of every kind, one after the other; FAULTS=full for hours of them (docs/reliability.md).
faults: $(READY_DEV)
	@$(PY) -m pytest -n0 -m faults tests/faults

check: lint test

lint: $(READY_DEV)
	@sh scripts/gates.sh $(VENV)/bin

# The contract as the code has it now, and the one that programs out there were written for.
schema: $(READY_DEV)
	@SECRET_KEY=only-for-the-schema $(PY) manage.py spectacular --validate --fail-on-warn \
		--file docs/openapi.yaml

release-schema: schema
	@cp docs/openapi.yaml docs/openapi-released.yaml
	@sed -i.old '/^[^#]/d' docs/openapi-breaks.yaml && rm docs/openapi-breaks.yaml.old

bench: $(READY_DEV)
	@$(PY) -m benchmarks

# After any change of requirements.txt or requirements-dev.txt. Needs no more than uv.
lock:
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m uv --version >/dev/null 2>&1 || \
		$(PY) -m pip install -qq --disable-pip-version-check "$$(grep '^uv==' requirements-dev.txt)"
	@$(PY) -m scripts.lock

$(READY): requirements.lock
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing what Mailing Manager needs; this takes a minute the first time."
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(READY_DEV): requirements-dev.lock $(READY)
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
