# LASS3D. `make` alone prints help; every target creates the environment that it needs.

PYTHON   ?= python3
VENV     ?= .venv
MANIFEST ?= data_manifest.yaml
DATASET  ?=
METHOD   ?= lass3d
PRESET   ?=
RATIO    ?= 1
SEED     ?= 0
TAG      ?=
SET      ?=
RESUME   ?=
SPLIT    ?= val

# One thread per process: on busy cores two OpenMP threads are often far slower than one.
export OMP_NUM_THREADS ?= 1

RUN    := $(VENV)/bin/python
ENV    := $(VENV)/.ready
DATA   := --manifest $(MANIFEST) $(if $(DATASET),--dataset $(DATASET))
CHOICE := --method $(METHOD) --ratio $(RATIO) --seed $(SEED) $(if $(PRESET),--preset $(PRESET)) $(if $(TAG),--tag $(TAG))
TRAIN  := $(DATA) $(CHOICE) $(foreach s,$(SET),--set $(s))

.DEFAULT_GOAL := help
.PHONY: help setup demo street captions pairs status audit train eval report test lint bench clean

help: ## print this help
	@echo "LASS3D: language-assisted semi-supervised 3D semantic segmentation"; echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'; echo
	@echo "  DATASET=$(DATASET) MANIFEST=$(MANIFEST) METHOD=$(METHOD) RATIO=$(RATIO) SEED=$(SEED) PRESET=$(PRESET) TAG=$(TAG)"
	@echo "  SET='key=value ...' overrides any setting of a run, RESUME=1 continues one, SPLIT=val|test is what eval reads"

setup: $(ENV) ## create the environment in .venv (done by the other targets when needed)

$(ENV): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(ENV) ## simulated street -> captions -> pairs -> train -> evaluate -> report, minutes on a CPU, no downloads
	@$(RUN) -m preprocess street --manifest $(MANIFEST) --dataset street
	@$(RUN) -m preprocess captions --manifest $(MANIFEST) --dataset street
	@$(RUN) -m preprocess pairs --manifest $(MANIFEST) --dataset street
	@$(RUN) -m train demo --manifest $(MANIFEST) --dataset street --seed $(SEED) $(if $(TAG),--tag $(TAG))

street: $(ENV) ## write the simulated street, in SemanticKITTI's layout
	@$(RUN) -m preprocess street $(DATA)

captions: $(ENV) ## image captions, entities and text embeddings; only what the manifest changed is redone
	@$(RUN) -m preprocess captions $(DATA)

pairs: $(ENV) ## project points into pixels and write the point-text shards
	@$(RUN) -m preprocess pairs $(DATA)

status: $(ENV) ## every stage: fresh, stale and why, missing, partial, with its size
	@$(RUN) -m preprocess status $(DATA)

audit: $(ENV) ## coverage and overlay pictures: look before you train
	@$(RUN) -m preprocess audit $(DATA)

train: $(ENV) ## train METHOD on RATIO % labelled scans
	@$(RUN) -m train run $(TRAIN) $(if $(RESUME),--resume)

eval: $(ENV) ## point-level mIoU of that run on SPLIT
	@$(RUN) -m train eval $(TRAIN) --split $(SPLIT)

report: $(ENV) ## one HTML page of that run
	@$(RUN) -m train report $(TRAIN)

test: lint ## lint, type check and the test suite
	@$(RUN) -m pytest

lint: $(ENV) ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(ENV) ## the benchmarks: ratios against a peer or a limit
	@for script in benchmarks/*.py; do echo "== $$script"; $(RUN) $$script || exit 1; done

clean: ## remove artifacts and runs (never data)
	rm -rf artifacts runs
