# Start with `make demo` and `make test`. Everything is installed into .venv; delete that folder to start again.
PYTHON ?= python3
# The tested version of torch. A CPU build is enough: set TORCH to a wheel, or choose an index with the PIP_* variables.
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: setup demo test fuzz check docs bench-search bench-multi bench-results clean

setup: .venv/.setup

demo: setup
	$(BIN)/gannet demo

test: .venv/.dev
	$(BIN)/pytest

# Read many more damaged files than `make test` does: the number for each kind of file.
fuzz: .venv/.dev
	GANNET_FUZZ=100000 $(BIN)/pytest tests/data/test_fuzz.py tests/collection/test_fuzz_collection.py

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check_docstrings.py

# The documentation site, from the guides and the docstrings: docs/_build/html/index.html. Every warning is an error.
docs: .venv/.dev
	rm -rf docs/_build docs/_generated
	$(BIN)/sphinx-build -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html

# Compare Hamming search with faiss and with the memory bandwidth.
bench-search: .venv/.bench
	$(BIN)/python benchmarks/hamming_search.py

# Compare the search of learned and of random codes by hash tables with faiss and usearch: FEATURES is a .npy of floats.
bench-multi: .venv/.bench
	$(BIN)/python benchmarks/multi_index.py $(FEATURES)

# Measure the README's table of results. Needs CIFAR-10 in ./data or $GANNET_DATA.
bench-results: setup
	$(BIN)/gannet bench cifar10-uhga --methods lsh,itq,cibhash,uhga-plain,uhga,uhga-graph,uhga-views --bits 16,32,64,128 --seeds 3 -o out/cifar10-uhga

clean:
	rm -rf .venv gannet-demo docs/_build docs/_generated

.venv/.setup: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check '$(TORCH)'
	$(BIN)/pip install --disable-pip-version-check -e '.[all]'
	touch $@

# torch is named again because the newest torchvision would replace it by a newer one.
.venv/.dev: .venv/.setup
	$(BIN)/pip install --disable-pip-version-check '$(TORCH)' -e '.[dev]'
	touch $@

.venv/.bench: .venv/.setup
	$(BIN)/pip install --disable-pip-version-check -e '.[bench]'
	touch $@
