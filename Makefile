# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

# Every target makes its own environment, .venv, and needs nothing but a
# Python of at least the version below.  To choose one:
#     make demo PYTHON=/path/to/python3.13

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

MINIMUM := 3.12
PREFERRED := $(shell cat .python-version)
PYTHON ?=
DEMO_OPTIONS ?=
TEST_PROCESSES ?= 2

VENV := .venv
BIN := $(VENV)/bin
# Neither the Science Pipelines' packages nor another checkout's pipelines.
unexport PYTHONPATH PYTHONHOME RA_PIPE_DIR
# One thread a process: the parallelism is over detectors, and over tests.
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

comma := ,
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < ($(subst .,$(comma),$(MINIMUM))))

# The quick tests come first, so that a plain mistake shows at once.
QUICK_TESTS := $(wildcard tests/test_imports.py tests/camera tests/algorithms)
TEST_FILES := $(wildcard tests/*/test_*.py tests/*/*/test_*.py)
OTHER_TESTS := $(filter-out $(QUICK_TESTS),\
	$(wildcard tests/test_*.py) $(sort $(foreach file,$(TEST_FILES),tests/$(word 2,$(subst /, ,$(file))))))

.PHONY: help
help: ## Say what there is to make.
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: $(VENV)/.warm ## Simulate two exposures, process them, show the results.
	$(BIN)/rapid demo $(DEMO_OPTIONS)

.PHONY: test
test: $(VENV)/.installed-test ## Run the tests, the quick ones first.
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(QUICK_TESTS) $(OTHER_TESTS)

.PHONY: lint
lint: $(VENV)/.installed-lint ## Check style, types and docstrings.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python doc/check_docstrings.py

# What imports ap_pipe, cp_verify or analysis_tools needs their sources.
SOURCES := $(and $(AP_PIPE_DIR),$(CP_VERIFY_DIR),$(ANALYSIS_TOOLS_DIR))
POLICIES := $(if $(SOURCES),$(wildcard config/drift/*.yaml),config/drift/FirstLook.yaml)

.PHONY: drift
drift: $(VENV)/.installed-demo ## Compare the pipelines with Alert Production's.
	$(BIN)/rapid drift $(addprefix --policy ,$(POLICIES))

.PHONY: docs
docs: $(VENV)/.installed-docs ## Build the documentation into doc/_build/html.
	rm -rf doc/api  # pages of what is no longer there
	$(BIN)/python -m sphinx -W --keep-going -q -b html doc doc/_build/html
	@echo "The documentation is in doc/_build/html/index.html"

.PHONY: bench
bench: $(VENV)/.installed-bench ## Run every benchmark.
	for benchmark in benchmarks/[a-z]*.py; do echo "== $$benchmark"; $(BIN)/python "$$benchmark"; done

.PHONY: clean
clean: ## Remove what was built, the demo's results and the environment.
	rm -rf $(VENV) build dist demo doc/_build doc/api doc/lsst.ra.pipe/api .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python tests benchmarks config -name __pycache__ -prune -exec rm -rf {} +

# What each target needs beyond the package's own dependencies.
$(VENV)/.installed-demo: EXTRAS :=
$(VENV)/.installed-test: EXTRAS := [test]
$(VENV)/.installed-lint: EXTRAS := [lint,test]
$(VENV)/.installed-docs: EXTRAS := [docs]
$(VENV)/.installed-bench: EXTRAS := [bench]

$(VENV)/.installed-%: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing the package and what '$*' needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.$(EXTRAS)'
	@touch $@

# The kernels are compiled here, as a compiler would, and not while one waits.
$(VENV)/.warm: $(VENV)/.installed-demo
	@$(BIN)/rapid warm-up
	@touch $@

$(VENV)/.created:
	@if $(BIN)/python -c '$(IS_NEW_ENOUGH)' 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    touch $@; exit; \
	fi; \
	found=; \
	for python in $(or $(PYTHON),python$(PREFERRED) python3.13 python3.12 python3.14 python3); do \
	    version=$$("$$python" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue; \
	    found="$$found $$python is $$version;"; \
	    "$$python" -c '$(IS_NEW_ENOUGH)' || continue; \
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null \
	        || { found="$$found and has no venv module;"; continue; }; \
	    echo "Making $(VENV) with Python $$version ..."; \
	    "$$python" -m venv --clear $(VENV); \
	    touch $@; exit; \
	done; \
	echo "ra_pipe needs Python $(MINIMUM) or newer; found:$${found:- none;}" \
	    "name one with 'make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.13'." >&2; \
	exit 1
