# Everything runs in .venv; the first target that needs it makes it.
PYTHON ?= python3
TORCH ?= auto
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup sandbox demo test test-all mutation lint build bench gpu-check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) sandbox ## create .venv, install everything, add bubblewrap (TORCH=auto|cpu|cuda)
	$(if $(filter command line,$(origin TORCH)),@$(BIN)/python .ci/install_torch.py $(TORCH))

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || $(MAKE) --no-print-directory venv-package
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --upgrade pip
	@$(BIN)/python .ci/install_torch.py $(TORCH)
	@$(PIP) -e '.[nbgrader,postgresql,docs,tests,kernels]'
	@touch $@

.PHONY: venv-package
venv-package: # Debian splits venv off into a package of its own
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "python3-venv is missing: installing it with apt-get"; rm -rf $(VENV); \
		(apt-get update -qq && apt-get install -y -qq python3-venv) >/dev/null && $(PYTHON) -m venv $(VENV); \
	else echo "cannot create $(VENV): run  sudo apt-get install python3-venv  and try again"; exit 1; fi

sandbox: # bubblewrap is what grading is isolated with
	@if command -v bwrap >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "bubblewrap is missing: installing it with apt-get"; \
		for try in 1 2; do apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null && break; done; \
	else echo "bubblewrap is missing: run  sudo apt-get install bubblewrap"; exit 1; fi

demo: setup ## make a class of sample submissions, grade it, print the table
	@$(BIN)/autograder demo demo

# Two tests at once on two cores; more than four would only fill the memory.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

test: setup ## the tests of the kit, some 10 minutes on 2 cores
	@$(BIN)/autograder build --check
	@$(PYTEST) -m "not slow"

test-all: test ## the slow tests as well, one at a time
	@$(BIN)/python -m pytest -m slow

mutation: setup ## small faults in the solutions against the hidden graders (UNIT=... for one unit)
	@$(BIN)/python -m autograder.authoring.mutation $(if $(UNIT),--unit $(UNIT))

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

build: setup ## solutions/ -> assignments/
	@$(BIN)/autograder build

gpu-check: ## on a machine with a GPU: does everything work there, and how fast is it (no setup, no network)
	@PYTHONPATH=. $(PYTHON) -m autograder.cli gpu-check

bench: setup ## what grading costs, beside nbgrader and beside the bare computation
	@$(BIN)/autograder bench

clean: ## remove what was generated, .venv included
	rm -rf $(VENV) build dist demo graded *.egg-info .pytest_cache .mypy_cache .ruff_cache
