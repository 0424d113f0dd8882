# make demo        the offline demo, a few minutes on two CPU cores (ARGS="--seed 3" is handed on)
# make test        lint, then the tests that are not slow
# make docs        the documentation as a site in site/; a warning is an error (ARGS="--dirty" is handed on)
# make test-vllm   the tests of the vLLM engine with a real vLLM for CPU, in .venv-vllm
# make lint        ruff and mypy
# make clean       remove .venv, .venv-peer, .venv-vllm, caches and build products; runs/ stays
#
# Each target makes or renews .venv by itself. constraints.txt pins every version, torch above all: an unpinned torch
# brings several gigabytes of CUDA libraries along.

PYTHON ?= python3
ARGS ?=
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.stamp-base
DEV := $(VENV)/.stamp-dev

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

# A finished demo is replaced, unless it is to be resumed.
demo: $(BASE)
	$(BIN)/mmupt demo $(if $(filter --resume --overwrite,$(ARGS)),,--overwrite) $(ARGS)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Material announces its successor on the terminal otherwise.
docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) $(VLLM) build dist site src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# One rule installs, for use (.stamp-base) or for work on mmupt itself (.stamp-dev).
$(BASE): EXTRA :=
$(DEV): EXTRA := [dev]
$(BASE) $(DEV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "error: mmupt needs Python 3.11 or newer, and '$(PYTHON)' is not; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.$(EXTRA)'
	@touch $@

# make peers       .venv-peer, where TRL runs for benchmarks/step_vs_trl.py
# torchvision comes without its dependencies: they would bring a CUDA build of torch (see benchmarks/peers/sitecustomize.py).
PEERS := .venv-peer
.PHONY: peers
peers: $(PEERS)/.stamp

$(PEERS)/.stamp: constraints.txt
	@$(PEERS)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check -c constraints.txt \
	    torch transformers trl datasets accelerate pillow jinja2
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --no-deps 'torchvision==0.28.*'
	@touch $@

# constraints-vllm.txt names every package, so nothing is resolved and nothing comes along; benchmarks/peers/sitecustomize.py
# lets torchvision be imported there, also by the processes that vLLM starts.
VLLM := .venv-vllm
.PHONY: test-vllm
test-vllm: $(VLLM)/.stamp
	PYTHONPATH=benchmarks/peers OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -m "not slow" tests/vllm $(ARGS)

$(VLLM)/.stamp: constraints-vllm.txt pyproject.toml
	@$(VLLM)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip install --disable-pip-version-check --no-compile --no-deps -r constraints-vllm.txt
	$(VLLM)/bin/python -m pip install --disable-pip-version-check --no-deps -e .
	@touch $@
