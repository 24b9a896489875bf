# Two commands for a fresh machine: make quickstart, make test.
# PYTHON can be set to any interpreter from 3.10 to 3.12; the pinned set is tested on 3.11.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' && { echo $$p; exit; }; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help quickstart test lint bench clean

help:
	@echo "make quickstart  environment, MovieLens, knowledge graph, training, recommendations, report"
	@echo "make test        environment, style and type checks, the whole test suite"
	@echo "make bench       short benchmarks"
	@echo "make clean       remove the environment"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 12) or sys.exit("error: Python %d.%d found; expected 3.10, 3.11 or 3.12 (make PYTHON=/path/to/python ...)" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

quickstart: $(VENV)/installed
	$(BIN)/kdiffe quickstart --output quickstart

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/attention.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/epoch.py

clean:
	rm -rf $(VENV)
