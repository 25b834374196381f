# Everything from a fresh clone: `make demo`, `make test`. Needs Python 3.11 or newer and make.
#
#   make demo PYTHON=python3.12   another interpreter makes the environment
#   make test VENV=../my-venv     another environment; one that exists is added to
#   make demo DEMO=../rain        another folder for the demo's pictures
#   make test JOBS=8              test processes

ifndef PYTHON
# python3 may be an old one beside which a newer one is installed.
suits = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON := $(or $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
  $(call suits,$$each) && echo $$each && break; done),python3)
endif
VENV ?= .venv
ifneq ($(words $(VENV)),1)
$(error VENV=$(VENV): make cannot handle names with a space; name another folder)
endif
DEMO ?= demo
JOBS ?= 2

BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(sort $(wildcard plugins/*/pyproject.toml))
PLUGINS := $(patsubst %/pyproject.toml,-e ./%,$(filter plugins/%,$(PROJECTS)))
FOR_DEMO := $(VENV)/.rainkit-demo
FOR_TEST := $(VENV)/.rainkit-test
FOR_DOCS := $(VENV)/.rainkit-docs

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo picture test coverage lint format docs figures clean

help:
	@echo 'make demo     make some rainy photographs, take the rain out, make a before/after page'
	@echo 'make test     ruff, mypy and pytest, for the core and all plugins'
	@echo 'make coverage which lines of the core the tests run'
	@echo 'make lint     ruff and mypy alone'
	@echo 'make format   let ruff rewrite the code'
	@echo 'make docs     bring the --help texts in docs/ up to date, and make the site of docs/ in site/'
	@echo 'make figures  draw the figures in docs/ anew'
	@echo 'make picture  make docs/images/before-after.jpg anew, out of the demo'
	@echo 'make clean    remove what these commands made, but for $(VENV)'
	@echo
	@echo 'The first of them makes the environment $(VENV): see README.md, "A smaller torch",'
	@echo 'for how to choose another torch than the newest with CUDA (6 GB) beforehand.'

demo: announce-demo $(FOR_DEMO)
	@$(BIN)/python examples/demo/demo.py '$(DEMO)'

.PHONY: announce-demo
announce-demo:
	@echo 'make demo: rain on four public-domain photographs, then off again; all of it in $(DEMO)/'

picture: demo
	$(BIN)/python examples/before_after.py '$(DEMO)' docs/images/before-after.jpg

test: $(FOR_TEST) lint
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# On the full disk of the test that is left out, coverage cannot write its own file.
coverage: $(FOR_TEST)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
	  --cov --cov-report term:skip-covered tests \
  --deselect tests/cli/test_synth.py::test_a_full_disk_is_one_line_and_the_run_goes_on_after

lint: $(FOR_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(FOR_TEST)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A notice that MkDocs will change is no warning about these pages.
docs: $(FOR_DOCS)
	$(BIN)/python docs/help_texts.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo 'Look at it: $(BIN)/python -m http.server -d site'

figures: $(FOR_DOCS)
	$(BIN)/python docs/figures.py

clean:
	rm -rf demo dist build .coverage* site .mypy_cache .pytest_cache .ruff_cache
	find rainkit plugins tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. A pyproject.toml that changed is newer than the stamps: it is installed again.

define too_old
{ echo "rainkit needs Python 3.11 or newer; $(1) is $$('$(1)' --version 2>&1 || true)."; \
  echo 'Install one, or name one that is there: make PYTHON=/path/to/python3.12'; exit 1; } >&2
endef

define not_there
{ echo '$(PYTHON): there is no such program. Install Python 3.11 or newer, or name one:'; \
  echo 'make PYTHON=/path/to/python3.12'; exit 1; } >&2
endef

define gone
{ echo '$(VENV) was made with a Python that is gone. Remove it, then run make again:'; \
  echo "    rm -rf '$(VENV)'"; exit 1; } >&2
endef

define no_venv
{ test -n "$$existed" || rm -rf '$(VENV)'; \
  version=$$('$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
  echo "$(PYTHON) cannot make the environment $(VENV). On Debian and Ubuntu a package is missing:"; \
  echo "    sudo apt-get install python$$version-venv"; \
  echo 'Elsewhere install the venv and ensurepip modules, or name another Python: make PYTHON=...'; \
  exit 1; } >&2
endef

define no_pip
{ echo '$(VENV) has no pip: run "$(BIN)/python -m ensurepip", or name another environment:'; \
  echo 'make VENV=...'; exit 1; } >&2
endef

define install
@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || $(call too_old,$(BIN)/python)
@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(no_pip)
@quiet=; if $(BIN)/python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))'; \
then quiet=--quiet; else \
  echo 'Installing into $(VENV). With the newest torch on Linux that is a download of 3 GB and 6 GB on'; \
  echo 'disk; to choose a smaller torch, stop here and see README.md, "A smaller torch".'; fi; \
echo 'pip install -e .[$(1)] $(PLUGINS)'; \
$(BIN)/python -m pip install $$quiet -e '.[$(1)]' $(PLUGINS)
@$(BIN)/python -c 'import cv2' >/dev/null 2>&1 || { $(BIN)/python -m rainkit doctor; \
  echo 'OpenCV cannot be imported: follow "remedy" above (pip is $(BIN)/pip), then run make again.' >&2; \
  exit 1; }
@touch $@
endef

$(BIN)/python:
	@! test -L '$@' || $(gone)
	@command -v '$(PYTHON)' >/dev/null || $(not_there)
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || $(call too_old,$(PYTHON))
	@existed=$$(test -e '$(VENV)' && echo yes); \
	'$(PYTHON)' -m venv '$(VENV)' || $(no_venv)

$(FOR_DEMO): $(PROJECTS) | $(BIN)/python
	$(call install,demo)

$(FOR_TEST): $(PROJECTS) | $(BIN)/python
	$(call install,demo$(comma)test)

$(FOR_DOCS): $(PROJECTS) | $(BIN)/python
	$(call install,demo$(comma)docs)

comma := ,
