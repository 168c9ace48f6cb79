# NeuroNova: the commands of one checkout. `make help` lists them.
PYTHON ?= python3
DEV := .venv/dev/bin
export DEPLOY_VAR ?= $(CURDIR)/var
# Without its cache of bytecode every process compiles every module again: 1 s of processor time for each command.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test up down status check bench escape clean setup setup-tests
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-tests ## set up, start everything, run the main job through the public door, leave it running
	@$(DEV)/python -m demo

test: setup-tests ## set up, then every test, in three processes with real servers of their own
	@$(DEV)/python -m pytest --numprocesses 3 $(PYTEST_ARGS)

up: setup ## set up and start everything
	@$(PYTHON) -m deploy up

down: ## stop everything
	@$(PYTHON) -m deploy down

status: ## every program: state, readiness, uptime, memory
	@$(PYTHON) -m deploy status

check: ## formatting, lint, types and import rules (no server, under a minute)
	@$(DEV)/ruff format --check .
	@$(DEV)/ruff check .
	@$(DEV)/mypy
	@$(DEV)/lint-imports

bench: setup-tests ## measure against the budgets; table and var/bench/latest.json
	@$(DEV)/python -m bench

escape: setup-tests ## try every way out of the running product (start it with `make up`); last line: N probes, N leaks
	@$(DEV)/python -m tests.escape

clean: down ## stop everything and remove what was built and written (keeps .venv)
	@rm -rf "$(DEPLOY_VAR)" .build deploy/hapi/target

setup:
	@$(PYTHON) -m deploy setup

setup-tests:
	@$(PYTHON) -m deploy setup --tests
