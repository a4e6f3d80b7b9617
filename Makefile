# LASS3D. `make` alone prints help. Every target creates the environment that it needs.

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
PROCESSES ?=
SPLIT    ?=
TABLE    ?= 1
SEEDS    ?=
RATIOS   ?=
PLAN     ?=
ONLY     ?=
LIMIT    ?=
IMAGE    ?=
MIRROR   ?=
INTO     ?=
SCANS    ?=
TEXT     ?=
SCAN     ?=
SCORE    ?=

# One thread per process: on busy cores two OpenMP threads are often far slower than one.
export OMP_NUM_THREADS ?= 1

# An environment whose name ends in -lvm also gets the packages of the real models, in versions that fit them.
EXTRAS := dev
PINS   := constraints.txt
ifneq ($(filter %-lvm,$(VENV)),)
EXTRAS := dev,lvm
PINS   := constraints-lvm.txt
endif

# What you type reaches the programs as you typed it: every value goes to the shell in single quotes.
quoted  = '$(subst ','\'',$(1))'
option  = $(if $(2),$(1) $(call quoted,$(2)))
options = $(foreach value,$(2),$(1) $(call quoted,$(value)))
on      = $(filter-out 0 no false,$(1))

RUN    := $(call quoted,$(VENV)/bin/python)
ENV    := $(VENV)/.ready
DATA    = $(call option,--manifest,$(MANIFEST)) $(call option,--dataset,$(DATASET))
RECIPE  = $(call option,--preset,$(PRESET)) $(call option,--tag,$(TAG)) $(call options,--set,$(SET))
CHOICE  = $(call option,--method,$(METHOD)) $(call option,--ratio,$(RATIO)) $(call option,--seed,$(SEED)) $(RECIPE)
ONSPLIT = $(call option,--split,$(SPLIT))
ASKED   = $(call option,--text,$(or $(TEXT),$(error give TEXT="a parked car" and SCAN=08/000010, or SCORE=1)))
OF_SCAN = $(call option,--scan,$(or $(SCAN),$(error give TEXT="a parked car" and SCAN=08/000010, or SCORE=1)))

COUNT    = $(or $(filter $(PROCESSES),$(shell seq 1 1024)),$(error PROCESSES is a number from 1 on, not $(PROCESSES)))
TOGETHER = $(if $(PROCESSES),-m torch.distributed.run --standalone --nproc-per-node=$(COUNT))

# Commands build on each other's files, so `make -j4 captions pairs` runs them in order all the same.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup setup-lvm demo street room captions pairs status audit doctor weights preview train profile eval report \
        export clouds query table test test-slow test-lvm lint bench bench-lvm faults clean

help: ## print this help
	@echo "LASS3D: language-assisted semi-supervised 3D semantic segmentation"; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'; echo
	@echo "Variables, as they are now:"
	@printf '  %s\n' $(call quoted,DATASET=$(DATASET) MANIFEST=$(MANIFEST) METHOD=$(METHOD) RATIO=$(RATIO) SEED=$(SEED) \
		PRESET=$(PRESET) TAG=$(TAG))
	@echo "  A run is named by DATASET, METHOD, RATIO, SEED, PRESET, TAG and SET: give eval, report, export, clouds and query the same."
	@echo "  SET='key=value key=value' changes any setting of a run. RESUME=1 continues a run that was stopped."
	@echo "  SPLIT=val or SPLIT=test chooses the scans of eval, export and clouds."
	@echo "  make table TABLE=2 SEEDS=0,1,2 RATIOS=1,10 PROCESSES=2. PLAN=1 prints what it would train and how long that takes."
	@echo "  VENV=.venv-lvm runs any command in the environment of the real models (make setup-lvm)."

setup: $(ENV) ## create the environment in .venv; the other targets do it if it is missing

$(ENV): setup.cfg pyproject.toml $(PINS)
	$(PYTHON) -m venv $(call quoted,$(VENV))
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(PINS) -e ".[$(EXTRAS)]"
	@touch $(call quoted,$@)

setup-lvm: ## create .venv-lvm with the packages of the real models (6 GB); any command uses it with VENV=.venv-lvm
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm

demo: $(ENV) ## the whole path on a simulated street, minutes on a CPU: data, captions, pairs, training, evaluation, report
	@$(RUN) -m preprocess simulate $(call option,--manifest,$(MANIFEST)) --dataset street
	@$(RUN) -m preprocess captions $(call option,--manifest,$(MANIFEST)) --dataset street
	@$(RUN) -m preprocess pairs $(call option,--manifest,$(MANIFEST)) --dataset street
	@$(RUN) -m train demo $(call option,--manifest,$(MANIFEST)) --dataset street \
		$(call option,--seed,$(SEED)) $(call option,--tag,$(TAG))

street room: $(ENV)
	@$(RUN) -m preprocess simulate $(call option,--manifest,$(MANIFEST)) $(call option,--dataset,$(or $(DATASET),$@))

street: ## write the simulated street, in SemanticKITTI's layout
room: ## write the simulated rooms, in ScanNet's layout

captions: $(ENV) ## captions, entities and text embeddings, if the manifest changed; ONLY=stage runs one, LIMIT=n only prints
	@$(RUN) -m preprocess captions $(DATA) $(call option,--only,$(ONLY)) $(call option,--limit,$(LIMIT))

pairs: $(ENV) ## project the points into the images and write the point-text shards
	@$(RUN) -m preprocess pairs $(DATA)

status: $(ENV) ## print for every stage: fresh, stale (and why), missing or partial, and its size
	@$(RUN) -m preprocess status $(DATA)

audit: $(ENV) ## look before you train: coverage, entities against labels (RATIO, SEED), calibration, pictures
	@$(RUN) -m preprocess audit $(DATA) $(call option,--ratio,$(RATIO)) $(call option,--seed,$(SEED))

doctor: $(ENV) ## check packages, weights, data, disk and GPU for what the manifest names, and print each fix
	@$(RUN) -m preprocess doctor $(DATA)

weights: $(ENV) ## download the weights that the manifest names; MIRROR=folder reads a copied hub cache, INTO=folder writes there
	@$(RUN) -m preprocess weights $(DATA) $(call option,--mirror,$(MIRROR)) $(call option,--into,$(INTO))

preview: $(ENV) ## caption, phrases and masks of IMAGE=file by the manifest's models, as a picture and as text
	@$(RUN) -m preprocess preview $(DATA) $(call quoted,$(or $(IMAGE),$(error give IMAGE=file)))

train: $(ENV) ## train METHOD with labels for RATIO % of the scans
	@$(RUN) $(TOGETHER) -m train run $(DATA) $(CHOICE) $(if $(call on,$(RESUME)),--resume)

profile: $(ENV) ## time and peak memory of one step of that run, part by part; writes nothing
	@$(RUN) -m train profile $(DATA) $(CHOICE)

eval: $(ENV) ## point-level mIoU of that run on SPLIT
	@$(RUN) -m train eval $(DATA) $(CHOICE) $(ONSPLIT)

report: $(ENV) ## one HTML page of that run
	@$(RUN) -m train report $(DATA) $(CHOICE)

export: $(ENV) ## that run's predictions on SPLIT in the benchmark's format; INTO=folder
	@$(RUN) -m train export $(DATA) $(CHOICE) $(ONSPLIT) $(call option,--into,$(INTO))

clouds: $(ENV) ## PLY files of truth, prediction, error and text on SPLIT; SCANS="id ...", LIMIT=n, INTO=folder
	@$(RUN) -m train clouds $(DATA) $(CHOICE) $(ONSPLIT) $(if $(SCANS),--scans $(call options,,$(SCANS))) \
		$(call option,--limit,$(LIMIT)) $(call option,--into,$(INTO))

query: $(ENV) ## points of SCAN=08/000010 that are like TEXT="a parked car", as PLY and page; SCORE=1: mAP of the class names
	@$(RUN) -m preprocess embed $(DATA) $(if $(call on,$(SCORE)),--classes,$(ASKED))
	@$(RUN) -m train query $(DATA) $(CHOICE) \
		$(if $(call on,$(SCORE)),--score $(ONSPLIT),$(ASKED) $(OF_SCAN) $(call option,--into,$(INTO)))

table: $(ENV) ## TABLE=1..7, fig7, plus or plus-parts on DATASET: train the runs that are missing, print the table; SEEDS, RATIOS, PLAN=1
	@$(RUN) -m train table $(DATA) $(call option,--table,$(TABLE)) $(call option,--seeds,$(SEEDS)) \
		$(call option,--ratios,$(RATIOS)) $(ONSPLIT) $(RECIPE) \
		$(if $(PROCESSES),--processes $(COUNT)) $(if $(call on,$(PLAN)),--plan)

test: lint ## lint, type check and the quick tests
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow"

test-slow: $(ENV) ## the other tests: faults, many processes, whole paths
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile -m slow

test-lvm: ## the tests of the real models, on small random weights, in .venv-lvm
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm
	@HF_HUB_OFFLINE=1 .venv-lvm/bin/python -m pytest tests/preprocess/lvm

lint: $(ENV) ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(ENV) ## speed and size against a peer or a limit, into docs/results.md; ONLY="pairing step" only prints
	@$(RUN) benchmarks/performance.py $(call options,,$(ONLY))

bench-lvm: ## images per second of the real models, batched and in the documented loops, in .venv-lvm
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm
	@.venv-lvm/bin/python benchmarks/lvm_throughput.py

faults: $(ENV) ## kill commands 200 times and flip 500 bytes: no result may be lost (make test-slow has a short form)
	@$(RUN) benchmarks/faults.py --kills 200 --flips 500

clean: ## remove artifacts and runs (never data)
	rm -rf artifacts runs
