.DEFAULT_GOAL := help
BIN := .venv/bin
# The newest Python that runs here (a name may be there and not run: pyenv's shims). Another: make setup PYTHON=/path/to/python3
PYTHON ?= $(firstword $(foreach v,3.13 3.12 3.11,$(if $(shell python$v -c 'print(1)' 2>/dev/null),python$v)))
# dvc.yaml's commands say `python`: that of .venv. One environment for all that we start.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export OMP_WAIT_POLICY := PASSIVE
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: help setup demo test lint docs ui emoji-world

help: ## this list
	@echo "make TARGET; each target sets up all that it needs first"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

setup: $(BIN)/.current ## install into .venv (3 GB; about 5 minutes on two cores with a fast line)

$(BIN)/.current: pyproject.toml constraints.txt
	@$(HAS_PIP) || test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 runs here: install one, or name it: make setup PYTHON=/path/to/python3.13"; exit 1; }
	@$(HAS_PIP) || { echo "A new .venv, with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "Installing about 260 packages, 3 GB, into .venv: about 5 minutes on two cores with a fast line"
	@$(INSTALL)
	@touch $@

HAS_PIP = $(BIN)/python -m pip --version >/dev/null 2>&1

# torch is pip's in any case: uv does not read pip's configuration, and where that names a build of torch for the CPU,
# uv takes gigabytes of CUDA instead. What is left is uv's, where it is there: it is faster.
INSTALL = set -e; pip="$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt"; \
  if command -v uv >/dev/null; then \
    $$pip "$$(sed -n 's/^  "\(torch>[^"]*\)".*/\1/p' pyproject.toml)"; \
    uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
  else \
    $$pip --editable '.[dev]'; \
  fi

demo: setup ## edit the sample videos and print their metrics
	@dvc repro
	-@tav record
	@tav table

# Three processes on two cores: what waits (for workers, for a page, for a server) leaves its core to another.
test: setup ## check that all is well on this machine
	@python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

lint: setup ## ruff, its format, mypy
	@ruff check . && ruff format --check . && mypy

docs: setup ## the documents as a site, in build/site, with all links checked
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict

ui: setup ## MLflow on http://127.0.0.1:5000, to compare runs
	@tav ui

# Its stages are frozen, so that nothing else trains them, and hidden from DVC, which would tell of each that it is.
emoji-world: setup ## train the shipped models again: hours; goes on where it was stopped
	@set -e; test -f .dvcignore.off || cp .dvcignore .dvcignore.off; grep -v dvc.yaml .dvcignore.off > .dvcignore; \
	for stage in text_to_image vae judge clip blip2 measure; do \
	  at=models/emoji-world/dvc.yaml:$$stage; \
	  trap "dvc freeze -q $$at; mv .dvcignore.off .dvcignore" EXIT; dvc unfreeze -q $$at; \
	  dvc repro --single-item $$at; dvc freeze -q $$at; \
	done

Makefile pyproject.toml constraints.txt: ;

.DEFAULT:
	@echo "error: there is no target $@"; $(MAKE) --no-print-directory help; exit 2
