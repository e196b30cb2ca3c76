# make demo: set up, then a store of real activations and answers from it (6 minutes on 2 cores, CPU)
# make test: set up, then the tests
# make coverage: the tests, and which lines and branches they reach; takes twice the time
# make exhaustive: every network of torchvision goes through taps and store (an hour)
# make site: the documents as pages, in site/index.html
# make check: format, lint, docstrings and types, each a target of its own
# PYTHON=python3.12 chooses the interpreter; VENV=dir the environment; ARGS="-k words" is pytest's

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

unexport PYTHONDONTWRITEBYTECODE  # tests start the program often: compiling it each time takes long

.PHONY: demo test coverage exhaustive setup check format lint docstrings types docs site clean

demo: setup
	$(BIN)/fstore demo --out fstore-demo

# two workers on two cores: a thread each for torch and BLAS, or they wait for each other
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

coverage: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

exhaustive: setup
	$(BIN)/python -m pytest -m exhaustive $(ARGS)

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,bench]'
	touch $@

check: format lint docstrings types

format: setup
	$(BIN)/ruff format --check

lint: setup
	$(BIN)/ruff check

docstrings: setup
	$(BIN)/interrogate extractor store queries cli src tests benchmarks

types: setup
	$(BIN)/mypy

docs: setup
	$(BIN)/python -m cogapp -I docs -r README.md docs/*.md

site: setup
	$(BIN)/python docs/_site.py build/site
	$(BIN)/zensical build --strict
	$(BIN)/python docs/_site.py --tidy site

clean:
	rm -rf site build/site $(VENV) fstore-demo
