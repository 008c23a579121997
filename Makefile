# Everything runs in .venv, which is made once; "make help" lists the targets.

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
TORCH := $(shell grep '^torch==' constraints.txt)
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt
ARGS ?=
# Tests run in as many processes as there are cores; JOBS=0 runs them in one, with their output as it comes (ARGS=-s).
# The tests of one file go to one process, so that what they share is made once.
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
# Tests start hundreds of processes that import the package, and the slow set collects what the fast one has: compiled
# code is kept, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest -n $(JOBS)

.PHONY: help simulate test slow lint types format install dev clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

simulate: install  ## run the quick study (ARGS='--seeds 3' adds arguments)
	$(BIN)/forgetting simulate $(ARGS)

test: dev  ## run the fast tests
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

slow: dev  ## run the slow tests
	$(PYTEST) -m slow $(ARGS)

lint: dev  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev  ## check types, strictly
	$(BIN)/mypy

format: dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed  ## install what a run needs
dev: $(VENV)/.dev  ## install what the tests need as well

clean:  ## remove the environment, caches and runs
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later with venv was found; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and pinned, so that the same build is found on every machine.
$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), once; this takes a few minutes"
	$(PIP) "$(TORCH)"
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "installing the tools for tests into $(VENV), once"
	$(PIP) --editable '.[dev]'
	@touch $@
