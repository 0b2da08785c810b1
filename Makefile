# Two commands: `make render` makes labelled pictures of dressed people, `make test` proves that everything works.
# Variables: OUT (folder of the shards), VIEWS, CLIPS, JOBS, DEVICE, ARGS (further flags of `synth render`), PYTHON.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
OUT ?= shards
VIEWS ?= 4
CLIPS ?= 4
JOBS ?= 2
DEVICE ?= auto
ARGS ?=
PYTHON ?=
BIN := $(VENV)/bin

.PHONY: help render test check clean

help:
	@echo "make render   install into $(VENV), render the embedded CMU clips from $(VIEWS) views into $(OUT)/, draw a contact sheet"
	echo "make test     install the test tools too and run the tests"
	echo "make check    ruff, import rules, pyright"
	echo "make clean    remove $(VENV)"

$(BIN)/python:
	@python="$(PYTHON)"
	for candidate in python3.11 python3 python; do
	    [ -n "$$python" ] && break
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then python=$$candidate; fi
	done
	if [ -z "$$python" ] && command -v uv >/dev/null; then
	    uv venv --python 3.11 --seed "$(VENV)"
	elif [ -n "$$python" ]; then
	    "$$python" -m venv "$(VENV)"
	else
	    echo "Python 3.11 is needed (Blender's module is built for it) and was not found." >&2
	    echo "Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv) or uv (https://docs.astral.sh/uv), or say make PYTHON=/path/to/python3.11" >&2
	    exit 2
	fi

$(VENV)/.installed: $(BIN)/python pyproject.toml
	@echo "Installing into $(VENV) (Blender's module is 370 MB: a minute or two)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml
	@echo "Installing PyTorch and the test tools into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

render: $(VENV)/.installed
	@$(BIN)/synth render --sequences cmu --views $(VIEWS) --clips $(CLIPS) --jobs $(JOBS) --device $(DEVICE) --out "$(OUT)" $(ARGS)
	$(BIN)/synth verify "$(OUT)"
	$(BIN)/synth sheet "$(OUT)" --out "$(OUT)/sheet.png"
	echo "Look at $(OUT)/sheet.png; \`$(BIN)/synth info $(OUT)\` says what the shards hold."

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf "$(VENV)"
