# Two commands for a fresh machine: make quickstart, make test.
# PYTHON can be set to any interpreter from 3.10 to 3.12; the pinned set is tested on 3.11.

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3 python; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo $$p; exit; }; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Some pins need Python 3.11; on 3.10, pip chooses.
PINS = $$($(BIN)/python -c 'import sys; print("--constraint constraints.txt" if sys.version_info >= (3, 11) else "")')

# Threads that spin while they wait make a run many times slower where other programs share the cores.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help quickstart test lint docs bench clean

help:
	@echo "make quickstart  environment, MovieLens, knowledge graph, training, recommendations, report"
	@echo "make test        environment, style and type checks, the whole test suite"
	@echo "make docs        the documentation as a site, into build/site/"
	@echo "make bench       short benchmarks"
	@echo "make clean       remove the environment"

$(BIN)/python:
	@$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1);" \
			"expected Python 3.10, 3.11 or 3.12 (make PYTHON=/path/to/python ...)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.py constraints.txt | $(BIN)/python
	@echo "installing into $(VENV); the first time takes a few minutes"
	@$(PIP) $(PINS) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing the tools of the tests into $(VENV)"
	@$(PIP) $(PINS) --editable '.[dev,docs]'
	@touch $@

quickstart: $(VENV)/installed
	$(BIN)/kdiffe quickstart --output quickstart

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

docs: $(VENV)/installed-dev
	$(BIN)/mkdocs build --strict

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/attention.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/topk.py
	$(BIN)/python benchmarks/scaling.py --sizes 3000 10000 30000
	$(BIN)/python benchmarks/against_published.py --users 2000 --items 1500 --interactions 14000 --entities 300 \
		--triples 13000 --preset tiktok
	$(BIN)/python benchmarks/kg_build.py --sizes 50000 100000

clean:
	rm -rf $(VENV)
