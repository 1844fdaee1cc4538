# Each target is the one command shown beside it. GNU make 3.81 or later.
#   make run    .venv/bin/harness run --catalogue
#   make test   .venv/bin/python -m pytest
#   make demo   .venv/bin/harness demo
#   make bench  .venv/bin/python -m benchmarks
#   make lint   .venv/bin/python -m benchmarks.lint   (ruff, mypy, import-linter)
#   make clean  removes .venv and what tools left behind

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test demo bench lint gallery clean install

run: $(STAMP)
	@$(BIN)/harness run --catalogue

test: $(STAMP)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

demo: $(STAMP)
	@$(BIN)/harness demo

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m benchmarks

lint: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks.lint

gallery: $(STAMP)
	@$(BIN)/python -m benchmarks.gallery

install: $(STAMP)

# The first Python that is of a supported version and can make a virtual environment.
$(VENV)/bin/python:
	@found=; \
	for candidate in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
	  [ -n "$$candidate" ] || continue; \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' >/dev/null 2>&1; then \
	    found="$$candidate"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "No Python 3.11, 3.12 or 3.13 with venv was found (Debian: apt install python3-venv; macOS: brew install python@3.13; or: make PYTHON=/path/to/python)" >&2; \
	  exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with $$found"; \
	"$$found" -m venv $(VENV)

$(STAMP): pyproject.toml | $(VENV)/bin/python
	@echo "Installing resilience-harness[all] into $(VENV) (this takes a minute; again only when pyproject.toml changes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $(STAMP)

$(VENV)/.installed-dev: $(STAMP)
	@echo "Installing ruff, mypy and import-linter into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.installed-dev

$(VENV)/.installed-bench: $(STAMP)
	@echo "Installing the libraries that the overhead is compared with into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $(VENV)/.installed-bench

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
