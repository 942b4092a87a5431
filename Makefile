# The few commands of this project. Each does its own set-up; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_ENV := .uv
# A uv that is on the PATH is used as it is; otherwise one is installed into $(UV_ENV), beside the project.
UV := $(shell command -v uv 2>/dev/null || echo $(UV_ENV)/bin/uv)
STAMP := .venv/.set-up
RUN := .venv/bin
CLASSES := .venv/spark-classes.jsa
# Much of the suite waits for the starts of Java and of ranks, so that two cores have work for four.
WORKERS ?= 4
PYTEST := $(RUN)/pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder
# Commands print words, not TensorFlow's notices about its build.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup demo test test-fast coverage lint bench clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP) ## Build the environment in .venv (about four minutes, once)

$(STAMP): pyproject.toml
	@command -v python3 >/dev/null || { echo "error: python3 is missing: install Python 3.11 (Debian: apt-get install python3 python3-venv)"; exit 2; }
	@python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: python3 is $$(python3 -V 2>&1): Python 3.11 is needed, the newest that pyarrow 10 runs on"; exit 2; }
	@{ command -v g++ && command -v gcc || command -v c++ && command -v cc; } >/dev/null || { echo "error: no C++ compiler: install g++, which builds Horovod (Debian: apt-get install g++)"; exit 2; }
	@if ! command -v $(UV) >/dev/null; then \
	  python3 -m venv $(UV_ENV) || { echo "error: python3 cannot make a virtual environment (Debian: apt-get install python3-venv)"; exit 2; }; \
	  $(UV_ENV)/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9.7'; \
	fi
	$(UV) sync --extra imagenet --extra export --extra search --extra serve --python "$$(command -v python3)"
	@touch $@

demo: $(STAMP) ## Run the main job on synthetic cells: images, ETL, two workers, F1 on unseen subjects
	$(RUN)/hvdcells demo

$(CLASSES): $(STAMP)
	$(RUN)/python -m tests.suite.spark_classes

test: $(CLASSES) ## Run all tests (about 25 minutes on 2 cores; WORKERS=… at once)
	$(PYTEST)

test-fast: $(STAMP) ## Run the tests that need no TensorFlow, no Java, no hosts and no AWS (a minute)
	$(PYTEST) --fast

coverage: $(CLASSES) ## Run all tests and write into the README what they and all their processes cover
	$(PYTEST) --cov --cov-report=term:skip-covered
	$(RUN)/python -m tests.suite.coverage_told

lint: $(STAMP) ## Check style, format, types and the rooms' imports
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/lint-imports --no-cache
	$(RUN)/mypy

bench: $(STAMP) ## Measure all but the methods and several hosts; results go to benchmarks/results
	$(RUN)/python -m benchmarks.etl --out benchmarks/results/etl.json
	$(RUN)/python -m benchmarks.input_pipeline --out benchmarks/results/input_pipeline.json
	$(RUN)/python -m benchmarks.communication --out benchmarks/results/communication.json
	$(RUN)/python -m benchmarks.start_up --out benchmarks/results/start_up.json
	$(RUN)/python -m benchmarks.scaling --workers 1,2 --input both --set data.batch_size=32 --set data.input_size=64
	$(RUN)/python -m benchmarks.report

clean: ## Delete the environment and the demonstration
	rm -rf .venv $(UV_ENV) demo uv.lock
