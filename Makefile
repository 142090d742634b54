# You need Python 3.11 or newer, git and make. Everything is installed into .venv in this folder. Three
# targets create another environment: `make check-package` creates .venv-package, `make audit` .venv-audit,
# and `make test-vllm` .venv-vllm (2.5 GB; Linux on x86-64).
#
#   make demo
#   make quick
#   PYTHON=python3.12 make test             another interpreter
#   TORCH=torch==2.13.0 make test           another build of torch, here with CUDA
#   LOCK=no make test                       the newest versions that pyproject.toml allows

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo quick test check-package test-wheel test-vllm soak prove lint board install lock audit

help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 20

demo: $(INSTALLED)  ## puzzles, models, training and a board, offline, in a scratch folder
	PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh

quick: $(INSTALLED)  ## style, types and the fast tests, three quarters of all: a verdict within a minute
	scripts/quick.sh $(BIN)

# All tests of a file run in the same worker, because they share what takes long to prepare, such as a
# training run or a server. tests/conftest.py puts the longest files first, and the option keeps that
# order. No test must run alone: each has its own folders and ports, and none depends on speed.
test: $(INSTALLED)  ## all tests, one worker for each core; what is skipped is named, with the reason
	$(BIN)/python -m pytest -rs -n auto --dist loadfile --no-loadscope-reorder

check-package: $(INSTALLED)  ## builds dist/, and checks it, the metadata and the workflows
	scripts/check_package.sh $(BIN)/python

test-wheel: check-package  ## the built wheel, in an environment of its own outside the checkout
	TCLUE_TEST_WHEEL=dist $(BIN)/python -m pytest -rs tests/repository/test_wheel.py

test-vllm: $(INSTALLED)  ## a real vLLM server on this machine's CPU
	scripts/vllm_env.sh
	TCLUE_TEST_VLLM=1 $(BIN)/python -m pytest -rs tests/repository/test_vllm.py tests/trainers/test_engine_vllm.py

soak: $(INSTALLED)  ## a run that is killed hundreds of times; prints what was asked and served
	PYTHONPATH=tests/support $(BIN)/python tests/scripts/soak.py --kills 300 --seed 1

prove: $(INSTALLED)  ## that training learns: three seeds and a control, half an hour on two cores
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python scripts/prove.py --out proof

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

board: $(INSTALLED)  ## leaderboards/, from what is in results/
	$(BIN)/tclue leaderboard

install: $(INSTALLED)  ## the environment that the others use, from requirements/*.lock

lock:  ## writes requirements/*.lock from pyproject.toml; UPGRADE=1 takes the newest versions
	scripts/lock.sh $(if $(UPGRADE),--upgrade)

audit:  ## known vulnerabilities of the locked packages
	scripts/audit.py

$(INSTALLED): pyproject.toml $(wildcard requirements/*.lock) scripts/install.sh scripts/install_torch.sh
	scripts/install.sh $(VENV)
	touch $@
