# `make help` lists the targets. `make repro` and `make test` work as the first command on
# a machine with Python 3.11+, make and git: they make .venv from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Our own commands only: nothing phones home, nothing opens a browser.
export DVC_NO_ANALYTICS := true
# Stages and tests start hundreds of Python processes: each would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup params repro test test-quick test-full check bench bench-detectors bench-lfw lock clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## Make .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@# Where this is a clone: how Git merges what the pipeline writes (.gitattributes).
	-@git config merge.facemodels-lock.driver '.venv/bin/facemodels merge-lock %O %A %B %P || git merge-file --marker-size=%L %A %O %B' 2>/dev/null
	@touch $@

params: setup  ## Compose conf/ into params.yaml
	$(BIN)/facemodels params

repro: params  ## Rebuild every model: the main job
	$(BIN)/dvc repro

# Many tests wait for servers and for Git, so that three workers keep two cores busy.
WORKERS ?= 3
# Tests run side by side: OpenMP threads that wait by spinning would stall each other.
test test-quick test-full: export OMP_WAIT_POLICY := passive
test test-quick test-full: export OMP_NUM_THREADS := 1

test: setup  ## Run the tests
	$(BIN)/pytest -m "not full" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-quick: setup  ## Run the tests that mirror what differs from BRANCH (default: the last commit)
	@tests=$$($(BIN)/python tools/quick_tests.py $(BRANCH)); \
	if [ -z "$$tests" ]; then echo "Nothing that has tests was changed."; \
	else $(BIN)/pytest -m "not full" -n $(WORKERS) $$tests; fi

test-full: setup  ## Run the tests and the long campaigns
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: setup  ## Lint, types, layers, conf against params.yaml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy stages benchmarks tools
	$(BIN)/lint-imports
	$(BIN)/facemodels params --check

PHOTOS ?=
bench: setup  ## Measure what the README claims; PHOTOS=FOLDER of faces instead of generated ones
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.sample
	$(BIN)/python -m benchmarks.dvc
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.registry
	$(BIN)/python -m benchmarks.serving
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gallery
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.system $(lastword $(sort $(wildcard models/system/faces-v*))) \
		$(if $(PHOTOS),--photos $(PHOTOS))

FACES ?= data/prepared/detection
bench-detectors: setup  ## Both detectors in one table; FACES=FOLDER of a data set with boxes
	$(BIN)/python -m benchmarks.detectors $(FACES) $(wildcard models/detection/*)

LFW ?= data/raw/lfw
bench-lfw: setup  ## Measure dlib's embedder on LFW's View 2; LFW=FOLDER with pairs.txt
	$(BIN)/python -m benchmarks.lfw $(LFW)

lock: setup  ## Resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--upgrade --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock

clean:  ## Remove what can be made again; packages and the DVC cache stay
	rm -rf build data/prepared .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +
