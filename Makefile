# make demo   trains on a simulated shop and ranks: data, training, report,
#             SavedModel, top items
# make recommend   chains recall, coarse, fine and re-ranking on that shop
# make test   runs the test suite
# make help   lists everything

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEMO ?= runs/demo
DEMO_LONG ?= runs/demo-long
# Public data sets, and a new folder for each gate.
DATA ?= ../shared/data
GATE ?= runs/gate
# A card of quick models on a tiny shop.
SMOKE ?= runs/smoke-card
SMOKE_MODELS ?= pooled_mmoe,shared_bottom,deep_fm,dcn_v2,mask_net,ple,din,bst,sas_rec
# Of benchmarks.zoo, and the pages that show it.
CARD ?= runs/zoo/card.json
PAGES ?= README.md,docs/models.md
# Fewer workers than cores would idle; more would swap threads.
WORKERS ?= 2
# Per cent of lines and branches.
COVERAGE ?= 50
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help install demo demo-long recommend test test-fast test-slow test-docs docs coverage gate tables smoke-card soak lint format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'error: Python cannot make environments.' \
	       'On Debian: apt-get install python3-venv' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || { \
	  echo 'error: Python 3.10 to 3.13 is needed;' \
	       'name one with make PYTHON=python3.11' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo 'installing jd_tf and what it needs into $(VENV) (a minute or two)'
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	@touch $(INSTALLED)

install: $(INSTALLED)  ## make .venv and install into it

demo: $(INSTALLED)  ## the main job on simulated data, some minutes
	$(RUN) -m experiments.quickstart --source=simulator --workdir=$(DEMO)

demo-long: $(INSTALLED)  ## the same on more data, about half an hour
	$(RUN) -m experiments.quickstart --source=simulator --preset=long \
	  --workdir=$(DEMO_LONG)

recommend: demo  ## four stages on the shop of the demo: builds, answers, measures
	$(RUN) -m experiments.build_recommender --data=$(DEMO)/data \
	  --saved_model=$(DEMO)/saved_models/jd_ranker --output=$(DEMO)/recommender
	$(RUN) -m experiments.recommend --config=$(DEMO)/recommender/recommender.yaml \
	  --data=$(DEMO)/data --output=$(DEMO)/recommender/answers.jsonl
	$(RUN) -m experiments.evaluate_pipeline --data=$(DEMO)/data \
	  --config=$(DEMO)/recommender/recommender.yaml --output=$(DEMO)/recommender/report

test: $(INSTALLED)  ## the test suite
	$(RUN) -m pytest -n $(WORKERS) --dist=loadfile

test-fast: $(INSTALLED)  ## without servers and training runs in processes
	$(RUN) -m pytest -n $(WORKERS) --dist=loadfile -m 'not slow and not process'

coverage: $(INSTALLED)  ## the fast tests, with a floor on what they cover
	$(RUN) -m pytest -n $(WORKERS) --dist=loadfile -m 'not slow and not process' \
	  --cov --cov-fail-under=$(COVERAGE)

test-slow: $(INSTALLED)  ## the checks that take minutes
	$(RUN) -m pytest -m slow

docs: $(INSTALLED)  ## the site in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

test-docs: $(INSTALLED)  ## the code blocks of README and docs, and the notebook
	$(RUN) -m pytest -n $(WORKERS) -m slow tests/docs

gate: $(INSTALLED)  ## quality on public data against expected values, about 15 minutes
	$(RUN) -m experiments.benchmarks.quality_gate --data=$(DATA) --output=$(GATE)

tables: $(INSTALLED)  ## the zoo's table on its pages, from CARD
	$(RUN) -m experiments.write_tables --card=$(CARD) --pages=$(PAGES)

smoke-card: $(INSTALLED)  ## nine models of the zoo on a tiny shop, minutes
	rm -rf $(SMOKE)
	$(RUN) -m experiments.make_data --source=simulator --num_users=60 \
	  --num_items=200 --num_requests=600 --output=$(SMOKE)/data
	$(RUN) -m experiments.benchmarks.zoo --models=$(SMOKE_MODELS) \
	  --data=shop:$(SMOKE)/data --output=$(SMOKE)/card --candidates=50 \
	  --num_replicates=20

soak: $(INSTALLED)  ## ten minutes of clients while versions come and go
	JD_TF_SOAK_MINUTES=$${JD_TF_SOAK_MINUTES:-10} \
	  $(RUN) -m pytest -m slow tests/serving/test_soak.py

lint: $(INSTALLED)  ## ruff and mypy, check only
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(INSTALLED)  ## ruff, mend
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:  ## remove what was built, not what was trained
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
