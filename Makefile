# Two commands for newcomers: `make demo` and `make test`. Everything lands in .venv; delete it to start over.
PYTHON ?= python3
# The version that is tested. A CPU build serves: set TORCH to your wheel or pass an index through PIP_* variables.
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: setup demo test check bench-search bench-results clean

setup: .venv/.setup

demo: setup
	$(BIN)/gannet demo

test: .venv/.dev
	$(BIN)/pytest

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Hamming search against faiss and the memory bandwidth.
bench-search: .venv/.bench
	$(BIN)/python benchmarks/hamming_search.py

# The table of results in the README; needs CIFAR-10 (see the README).
bench-results: setup
	$(BIN)/gannet bench cifar10-uhga --methods lsh,itq,cibhash,uhga-plain,uhga,uhga-graph,uhga-views --bits 16,32,64,128 --seeds 3 -o out/cifar10-uhga

clean:
	rm -rf .venv gannet-demo

.venv/.setup: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check '$(TORCH)'
	$(BIN)/pip install --disable-pip-version-check -e '.[all]'
	touch $@

.venv/.dev: .venv/.setup
	$(BIN)/pip install --disable-pip-version-check -e '.[dev]'
	touch $@

.venv/.bench: .venv/.setup
	$(BIN)/pip install --disable-pip-version-check -e '.[bench]'
	touch $@
