# make setup | demo | test | lint | ui | emoji-world        Each sets up all it needs.
PYTHON ?= python3.11
BIN := .venv/bin
# dvc.yaml's commands say `python`: that of .venv. One environment for all that we start.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export OMP_WAIT_POLICY := PASSIVE
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: setup demo test lint ui emoji-world

setup: $(BIN)/.current

$(BIN)/.current: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here: install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	@dvc repro
	-@tav record
	@tav table

test: setup
	@python -m pytest -q -n 2 --dist loadfile

lint: setup
	@ruff check . && ruff format --check . && mypy

ui: setup
	@tav ui

# Trains the shipped models again: hours. Goes on where it was stopped. Its stages are frozen, so that nothing else does.
emoji-world: setup
	@set -e; for stage in text_to_image vae judge clip blip2 measure; do \
	  at=models/emoji-world/dvc.yaml:$$stage; \
	  trap "dvc freeze -q $$at" EXIT; dvc unfreeze -q $$at; \
	  dvc repro --single-item $$at; dvc freeze -q $$at; \
	done
