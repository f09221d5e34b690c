# Every target sets up what it needs: Python 3.11 or newer and make are all a machine must have.
#   make run     the demo country          make test    the whole test suite
#   make setup   the set-up alone          make check   format, lint, types, import arrows, tests
#   make web     rebuild the console       make sim SEEDS=N   seeded fault simulation
#   make chaos RUNS=N   real processes killed, frozen and cut off under load; goes on where it was stopped

SEEDS ?= 200
RUNS ?= 100
ARGS ?=

# The first Python that is new enough and can make environments; else one that can say what it lacks.
comma := ,
pick = $(shell for python in python3.13 python3.12 python3.11 python3.14 python3; do \
	$$python -c 'import sys$(1); sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
ifndef PYTHON
PYTHON := $(or $(call pick,$(comma) venv$(comma) ensurepip),$(pick))
endif
BIN := .venv/bin

.PHONY: run test setup setup-dev check web sim chaos python
.DEFAULT_GOAL := run

run: setup
	@exec $(BIN)/dispatch112 demo $(ARGS)

setup: python
	@$(PYTHON) bootstrap.py

test: setup-dev
	@exec $(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.style
	@$(MAKE) --no-print-directory test

sim: setup
	@exec $(BIN)/dispatch112 sim --seeds $(SEEDS) $(ARGS)

chaos: setup-dev
	@exec $(BIN)/python -m tests.journeys.chaos --runs $(RUNS) $(ARGS)

web: python
	@$(PYTHON) bootstrap.py --web

setup-dev: python
	@$(PYTHON) bootstrap.py --dev

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 2; }
