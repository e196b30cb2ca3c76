# make demo: set up, then a store of real activations and answers from it (a few minutes, CPU)
# make test: set up, then the tests
# PYTHON=python3.12 chooses the interpreter; VENV=dir the environment

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test setup check docs clean

demo: setup
	$(BIN)/fstore demo --out fstore-demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,bench]'
	touch $@

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/interrogate -q extractor store queries cli src tests benchmarks

docs: setup
	$(BIN)/python -m cogapp -I docs -r README.md docs/*.md

clean:
	rm -rf $(VENV) fstore-demo
