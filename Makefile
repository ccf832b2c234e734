# Everything a newcomer needs: `make demo`, `make test`, `make lint`. Only Python >= 3.10, git, make and pip are expected.
PYTHON ?= python3
VENV ?= .venv
# More words for pip; on a machine of your own without a GPU:
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo paper test test-pythons lint format clean

# The shipped model first: it needs no PyTorch. Then the way from PyTorch to engines.
demo: $(VENV)/.run
	$(BIN)/python -m bench.demo first
	$(MAKE) $(VENV)/.demo
	$(BIN)/python -m bench.demo export

# The same at the paper's size: CrossNet of width 64 and SelFlow at 256x256. Minutes to tens of minutes.
paper: $(VENV)/.demo
	$(BIN)/python -m bench.demo --paper

test: lint
	EDGEBS_REQUIRE_PACKAGES=1 $(BIN)/python -m pytest -n $(WORKERS)

# The runtime on every Python at hand, `make test-pythons PYTHONS="3.10 3.13"` on some of them.
test-pythons: $(VENV)/.demo
	$(BIN)/python tests/pythons.py --workers $(WORKERS) $(PYTHONS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "edgebs needs Python 3.10 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --editable '.[cpu,onnx,headless]'
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --editable '.[cpu,onnx,headless,export]'
	touch $@ $(VENV)/.run

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --editable '.[dev]'
	touch $@ $(VENV)/.demo $(VENV)/.run

clean:
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
