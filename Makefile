# Two commands: `make quickstart` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests run in this many processes of one thread each: one more than the cores they are meant for, since
# runs wait for servers and stores. A file's tests all run in the same one, the long files first
# (tests/conftest.py).
WORKERS ?= 3
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
  --no-loadscope-reorder --max-worker-restart 1

.PHONY: quickstart install stack test test-fast test-docker test-cluster attack lint format docs lock wheel assets clean help moved

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

quickstart: stack  ## Install everything and learn the bundled concept: zenml pipeline run coti_concept.
	$(BIN)/zenml pipeline run coti_concept

install: $(STAMP)  ## Make .venv with the exact lock.

# Commands of a copied or moved .venv run where it was made: `python -m venv` says there where that
# was, and then everything is installed again, scripts with it. Nothing is removed.
MADE := $(shell sed -n 's/^command = .* -m venv //p' $(VENV)/pyvenv.cfg 2>/dev/null)
MOVED := $(if $(MADE),$(if $(filter-out $(CURDIR)/$(VENV),$(MADE)),moved))
moved:
	@$(PYTHON) -m venv $(VENV)

# uv installs the lock in seconds; where it can't be had, pip does it in a minute or two. Nothing is
# installed but files whose hashes the lock has: uv is in it, too, and so is what builds this project.
$(STAMP): requirements.lock pyproject.toml ops/stack/local_state.py $(MOVED)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  f"Python {v[0]}.{v[1]} is not supported: use 3.11, 3.12 or 3.13, as in make PYTHON=python3.11 quickstart")'
	@echo "Installing into $(VENV): a minute or two, most of it in silence."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock || true
	@if $(BIN)/python -m uv --version >/dev/null 2>&1; then \
	  $(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	    $(if $(MOVED),--reinstall) --require-hashes -r requirements.lock && \
	  $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    $(if $(MOVED),--force-reinstall) -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@$(BIN)/python -m ops.stack.local_state
	@touch $@
	@echo "Installed. make quickstart runs the bundled concept; make stack is what coti run needs."

stack: $(STAMP)  ## Register and activate the local stack, with a ZenML state of its own in .coti.
	@$(BIN)/coti stack up local

test: $(STAMP)  ## All tests but those that need an engine, which are skipped by name.
	$(PYTEST)

test-docker: $(STAMP)  ## Those that need a Docker engine; builds the image, for minutes.
	COTI_TEST_DOCKER=1 $(PYTEST) tests/e2e/test_docker.py

test-cluster: $(STAMP)  ## Those that need a Kubernetes: KUBECONFIG's, else one brought up here (docs/cluster.md).
	COTI_TEST_CLUSTER=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster

test-fast: WORKERS = 2  # nothing waits there
test-fast: $(STAMP)  ## The fast loop: all but what is slow or runs a pipeline.
	$(PYTEST) -m "not slow and not e2e"

MINUTES ?= 30
attack: $(STAMP)  ## Hostile inputs and faults for MINUTES=30, from SEED=n or a new one (docs/tests.md).
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.adversary.attack $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES)

lint: $(STAMP)  ## ruff and mypy.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## Let ruff mend what it can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## The site, into outputs/site; strictly: a broken link or reference fails.
	$(BIN)/python -m tools.architecture_diagram --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

UPGRADE ?=
COMPILE = $(BIN)/uv pip compile -q $(UPGRADE) --generate-hashes --python-version 3.11 --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links

lock: $(STAMP)  ## Resolve pyproject.toml into the locks again; UPGRADE=--upgrade for newer versions.
	$(COMPILE) --universal --extra pipeline --extra server --extra experiments --extra dev \
	  -c configs/constraints.txt pyproject.toml -o requirements.lock
	$(COMPILE) --python-platform x86_64-manylinux_2_28 --extra pipeline --extra server \
	  -c requirements.lock pyproject.toml -o k8s/requirements.lock
	$(COMPILE) --universal .github/audit.in -o .github/audit.lock

wheel: $(STAMP)  ## Build the library's wheel, without the ZenML project, into dist/.
	$(BIN)/python -m build --wheel --no-isolation

assets: $(STAMP)  ## Build pools and images again from Fashion-MNIST, the same bytes; models are frozen.
	$(BIN)/python -m assets.build.make_pool --concept "ankle boot" --seed 0 --seed-images narrow 10 0 \
	  --output assets/pools/ankle_boot
	$(BIN)/python -m assets.build.make_uses

clean:  ## Remove local state and outputs; .venv stays.
	rm -rf .coti .zen outputs .mypy_cache .ruff_cache .pytest_cache .hypothesis
