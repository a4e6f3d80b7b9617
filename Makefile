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

RUN    := $(VENV)/bin/python
ENV    := $(VENV)/.ready
DATA   := --manifest $(MANIFEST) $(if $(DATASET),--dataset $(DATASET))
CHOICE := --method $(METHOD) --ratio $(RATIO) --seed $(SEED) $(if $(PRESET),--preset $(PRESET)) $(if $(TAG),--tag $(TAG))
TRAIN  := $(DATA) $(CHOICE) $(foreach s,$(SET),--set $(s))
ON     := $(if $(SPLIT),--split $(SPLIT))

TOGETHER := $(if $(PROCESSES),-m torch.distributed.run --standalone --nproc-per-node=$(PROCESSES))

.DEFAULT_GOAL := help
.PHONY: help setup setup-lvm demo street room captions pairs status audit doctor weights preview train profile eval report \
        export clouds query table test test-lvm lint bench bench-lvm faults clean

help: ## print this help
	@echo "LASS3D: language-assisted semi-supervised 3D semantic segmentation"; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'; echo
	@echo "  DATASET=$(DATASET) MANIFEST=$(MANIFEST) METHOD=$(METHOD) RATIO=$(RATIO) SEED=$(SEED) PRESET=$(PRESET) TAG=$(TAG)"
	@echo "  SET='key=value ...' overrides any setting of a run, RESUME=1 continues one; eval, export and clouds read SPLIT=val|test"
	@echo "  make table TABLE=2 SEEDS=0,1,2 RATIOS=1,10 PROCESSES=2; PLAN=1 only says what it would train, and for how long"
	@echo "  VENV=.venv-lvm makes any command use the environment with the real models (make setup-lvm)"

setup: $(ENV) ## create the environment in .venv (done by the other targets when needed)

$(ENV): setup.cfg pyproject.toml $(PINS)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(PINS) -e ".[$(EXTRAS)]"
	@touch $@

setup-lvm: ## create .venv-lvm with the real models' packages (6 GB); VENV=.venv-lvm then makes any command use it
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm

demo: $(ENV) ## simulated street -> captions -> pairs -> train -> evaluate -> report, minutes on a CPU, no downloads
	@$(RUN) -m preprocess simulate --manifest $(MANIFEST) --dataset street
	@$(RUN) -m preprocess captions --manifest $(MANIFEST) --dataset street
	@$(RUN) -m preprocess pairs --manifest $(MANIFEST) --dataset street
	@$(RUN) -m train demo --manifest $(MANIFEST) --dataset street --seed $(SEED) $(if $(TAG),--tag $(TAG))

street room: $(ENV)
	@$(RUN) -m preprocess simulate --manifest $(MANIFEST) --dataset $(or $(DATASET),$@)

street: ## write the simulated street, in SemanticKITTI's layout
room: ## write the simulated rooms, in ScanNet's layout

captions: $(ENV) ## captions, entities and text embeddings, what the manifest changed; ONLY=stage; LIMIT=n only prints
	@$(RUN) -m preprocess captions $(DATA) $(if $(ONLY),--only $(ONLY)) $(if $(LIMIT),--limit $(LIMIT))

pairs: $(ENV) ## project points into pixels and write the point-text shards
	@$(RUN) -m preprocess pairs $(DATA)

status: $(ENV) ## every stage: fresh, stale and why, missing, partial, with its size
	@$(RUN) -m preprocess status $(DATA)

audit: $(ENV) ## coverage, entities against labels (RATIO, SEED), calibration, pictures: look before you train
	@$(RUN) -m preprocess audit $(DATA) --ratio $(RATIO) --seed $(SEED)

doctor: $(ENV) ## is everything there that the manifest names? packages, weights, data, disk, GPU; each with the fix
	@$(RUN) -m preprocess doctor $(DATA)

weights: $(ENV) ## download the weights that the manifest names; MIRROR=folder reads a copied hub cache, INTO=folder
	@$(RUN) -m preprocess weights $(DATA) $(if $(MIRROR),--mirror $(MIRROR)) $(if $(INTO),--into $(INTO))

preview: $(ENV) ## caption, phrases and masks of IMAGE=file by the manifest's models, as a picture and as text
	@$(RUN) -m preprocess preview $(DATA) $(or $(IMAGE),$(error give IMAGE=file))

train: $(ENV) ## train METHOD on RATIO % labelled scans
	@$(RUN) $(TOGETHER) -m train run $(TRAIN) $(if $(RESUME),--resume)

profile: $(ENV) ## where the time of one step of that run goes, and its peak memory; writes nothing
	@$(RUN) -m train profile $(TRAIN)

eval: $(ENV) ## point-level mIoU of that run on SPLIT
	@$(RUN) -m train eval $(TRAIN) $(ON)

report: $(ENV) ## one HTML page of that run
	@$(RUN) -m train report $(TRAIN)

export: $(ENV) ## that run's predictions on SPLIT as the benchmark wants them; INTO=folder
	@$(RUN) -m train export $(TRAIN) $(ON) $(if $(INTO),--into $(INTO))

clouds: $(ENV) ## PLY files of truth, prediction, error and text on SPLIT; SCANS="id ...", LIMIT=n, INTO=folder
	@$(RUN) -m train clouds $(TRAIN) $(ON) $(if $(SCANS),--scans $(SCANS)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(INTO),--into $(INTO))

query: $(ENV) ## points of SCAN=08/000010 that are like TEXT="a parked car", as PLY and page; SCORE=1: mAP of class names
	@$(if $(SCORE)$(and $(TEXT),$(SCAN)),,$(error give TEXT="a parked car" and SCAN=08/000010, or SCORE=1))
	@$(RUN) -m preprocess embed $(DATA) $(if $(SCORE),--classes,--text "$$TEXT")
	@$(RUN) -m train query $(TRAIN) $(if $(SCORE),--score $(ON),--text "$$TEXT" --scan $(SCAN) $(if $(INTO),--into $(INTO)))

table: $(ENV) ## TABLE=1..7|fig7 of the paper, or plus|plus-parts|plus-stress, on DATASET: the runs it lacks, then what they say; SEEDS, RATIOS, PLAN=1
	@$(RUN) -m train table $(DATA) --table $(TABLE) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(RATIOS),--ratios $(RATIOS)) $(ON) $(if $(PRESET),--preset $(PRESET)) $(if $(TAG),--tag $(TAG)) \
		$(foreach s,$(SET),--set $(s)) $(if $(PROCESSES),--processes $(PROCESSES)) $(if $(PLAN),--plan)

test: lint ## lint, type check and the test suite
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile

test-lvm: ## the tests of the real models, on small random weights, in .venv-lvm
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm
	@HF_HUB_OFFLINE=1 .venv-lvm/bin/python -m pytest tests/preprocess/lvm

lint: $(ENV) ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(ENV) ## speed and size against a peer or a limit, into docs/results.md; ONLY="pairing step" prints alone
	@$(RUN) benchmarks/performance.py $(ONLY)

bench-lvm: ## images per second of the real models' adapters against the documented loops, in .venv-lvm
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm
	@.venv-lvm/bin/python benchmarks/lvm_throughput.py

faults: $(ENV) ## 200 kills and 500 flipped bytes: nothing may be lost (make test has a short form)
	@$(RUN) benchmarks/faults.py --kills 200 --flips 500

clean: ## remove artifacts and runs (never data)
	rm -rf artifacts runs
