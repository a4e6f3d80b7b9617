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
FIGURES  ?=
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
RUN      ?=
RUNS     ?=
MODEL    ?=
INPUT    ?=
COLUMNS  ?=
SCALE    ?=
TTA      ?=
N        ?= 10
STALE    ?=
YES      ?=
LOG      ?=
SEQUENCE ?=

# A shell may export these for purposes of its own: they count only when they are typed.
$(foreach one,COLUMNS LOG,$(if $(filter environment,$(origin $(one))),$(eval $(one) :=)))

# One thread per process: on busy cores two OpenMP threads are often far slower than one.
export OMP_NUM_THREADS ?= 1

# A value reaches a program as it was typed. `value` keeps make from reading it, single quotes keep the shell from
# reading it, and OPTION=VALUE in one word keeps the program from taking a value that begins with "-" for an option.
# Make would read it once more to hand it on to the environment of every command.
unexport PYTHON VENV EXTRAS MANIFEST DATASET METHOD PRESET RATIO SEED TAG SET RESUME PROCESSES SPLIT TABLE SEEDS \
         RATIOS PLAN ONLY LIMIT IMAGE MIRROR INTO SCANS TEXT SCAN SCORE RUN RUNS MODEL INPUT COLUMNS SCALE TTA N STALE \
         YES FIGURES LOG SEQUENCE
define newline


endef
comma  := ,
quoted  = $(if $(findstring $(newline),$(1)),$(error a value holds a line break: $(1)),'$(subst ','\'',$(1))')
typed   = $(call quoted,$(value $(1)))
option  = $(if $(value $(2)),$(1)=$(call typed,$(2)))
needed  = $(if $(value $(1)),$(call typed,$(1)),$(error give $(2)))
# Lists, whose members are separated by spaces.
options = $(foreach one,$(value $(2)),$(1)=$(call quoted,$(one)))
members = $(foreach one,$(value $(1)),$(call quoted,$(one)))
# A flag, which is yes or no.
odd     = $(filter-out 1 yes true 0 no false,$(value $(1)))$(word 2,$(value $(1)))
flag    = $(if $(call odd,$(2)),$(error $(2) is 1, yes, true, or 0, no, false, not $(value $(2))),$(if \
          $(filter 1 yes true,$(value $(2))),$(1)))

# EXTRAS names what is installed beside the project: extras of setup.cfg, such as dev,segmenter. With EXTRAS=
# a plain user gets no test tools. An environment keeps its extras, which .ready names, until EXTRAS is given anew.
# One whose name ends in -lvm also gets the packages of the real models, in versions that were tested together.
# One in -lvm-paper gets the authors' packages of GroundedSAM besides.
space  := $(subst ,, )
STAMP  := $(value VENV)/.ready
MADE   := $(or $(shell cat $(call quoted,$(STAMP)) 2>/dev/null),dev)
GIVEN  := $(filter command environment,$(origin EXTRAS))
NAMED  := $(subst $(space),$(comma),$(strip $(subst $(comma),$(space),$(value EXTRAS))))
WANTED := $(if $(GIVEN),$(or $(NAMED),plain),$(MADE))
MODELS := $(if $(filter %-lvm %-lvm-paper,$(lastword $(value VENV))),lvm)$(if $(filter \
          %-lvm-paper,$(lastword $(value VENV))),$(comma)lvm-paper)
BOTH   := $(subst $(space),$(comma),$(strip $(filter-out plain,$(WANTED)) $(MODELS)))
PINS   := $(if $(MODELS),constraints-lvm.txt,constraints.txt)

PY     := $(call quoted,$(value VENV)/bin/python)
ENV    := $(subst $(space),\$(space),$(STAMP))
DOCS   := $(subst $(space),\$(space),$(value VENV))/.docs
DATA    = $(call option,--manifest,MANIFEST) $(call option,--dataset,DATASET)
WORLD   = $(call option,--manifest,MANIFEST) --dataset=$(if $(value DATASET),$(call typed,DATASET),street)
RECIPE  = $(call option,--preset,PRESET) $(call option,--tag,TAG) $(call options,--set,SET)
CHOICE  = $(call option,--method,METHOD) $(call option,--ratio,RATIO) $(call option,--seed,SEED) $(RECIPE)
FINISHED = $(if $(value RUN),$(call option,--run,RUN),$(CHOICE))
ONSPLIT = $(call option,--split,SPLIT)
PASSES  = $(if $(filter 0 no false,$(value TTA)),,$(call option,--tta,TTA))
GIVE    = TEXT="a parked car" and SCAN=01/000010, or SCORE=1
ASKED   = --text=$(call needed,TEXT,$(GIVE))
OF_SCAN = --scan=$(call needed,SCAN,$(GIVE))

# Commands build on each other's files, so `make -j4 captions pairs` runs them in order all the same.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup again tools setup-lvm setup-lvm-paper lock demo street room captions pairs status audit doctor weights \
        preview train profile eval report export clouds view query model predict onnx suggest runs compare table test \
        test-quick test-slow test-lvm lint bench bench-lvm results docs faults clean

help: ## print this help
	@echo "LASS3D: language-assisted semi-supervised 3D semantic segmentation"; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'; echo
	@echo "Variables, as they are now:"
	@printf '  %s' $(foreach one,DATASET MANIFEST METHOD RATIO SEED PRESET TAG,$(one)=$(call typed,$(one))); echo
	@echo "  A run is named by DATASET, METHOD, RATIO, SEED, PRESET, TAG and SET, or by RUN=folder (make runs lists them)."
	@echo "  SET='key=value key=value' changes any setting of a run. RESUME=1 continues a run that was stopped."
	@echo "  YES=1 trains a recipe of many steps on a CPU, which takes weeks; PRESET=demo and PRESET=demo_room take minutes."
	@echo "  SPLIT=val or SPLIT=test chooses the scans of eval, export and clouds."
	@echo "  make table TABLE=2 SEEDS=0,1,2 RATIOS=1,10 PLAN=1 prints what it would train and how long that takes; PROCESSES=2."
	@echo "  FIGURES=docs/tables lets it go on from the figures that are recorded there, and records its own there."
	@echo "  VENV=.venv-lvm runs any command in the environment of the real models (make setup-lvm)."

setup: $(ENV) ## create the environment in .venv; other targets do it if it is missing; EXTRAS= leaves out test tools

$(ENV): setup.cfg pyproject.toml $(PINS) $(if $(filter-out $(MADE),$(WANTED)),again)
	$(call typed,PYTHON) -m venv $(call typed,VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c $(PINS) -e $(call quoted,.$(if $(BOTH),[$(BOTH)]))
	@echo $(call quoted,$(WANTED)) > $(call quoted,$(STAMP))

again:

tools: $(ENV)
	@$(if $(filter dev,$(subst $(comma),$(space),$(WANTED))),:,$(error \
		$(value VENV) has no test tools; make setup EXTRAS=dev adds them))

setup-lvm: ## create .venv-lvm with the packages of the real models (6 GB); any command uses it with VENV=.venv-lvm
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm

setup-lvm-paper: ## the same with the authors' packages for grounded_sam, in .venv-lvm-paper
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm-paper

# uv resolves for Python 3.10 and every later one, and for every system, at once. What a file pins already stays.
# Trackio is left out: it wants an older Pillow than the committed results had.
LOCK = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.10 --no-annotate \
       --custom-compile-command 'make lock' setup.cfg
NAMES = $(filter-out trackio,$(shell sed -n '/^\[options.extras_require\]/,/^\[tool/s/^\([a-z0-9-]*\) =$$/\1/p' setup.cfg))

lock: ## resolve constraints.txt and constraints-lvm.txt from setup.cfg; a pin stays until its line is deleted
	$(call typed,PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(LOCK) $(addprefix --extra=,$(filter-out lvm lvm-paper,$(NAMES))) -c constraints.txt --output-file constraints.txt
	$(LOCK) $(addprefix --extra=,$(NAMES)) -c constraints-lvm.txt --output-file constraints-lvm.txt

demo: $(ENV) ## three minutes on two cores: data, captions, pairs, three methods, a question, a page; DATASET=street_four, room
	@$(PY) -m preprocess simulate $(WORLD)
	@$(PY) -m preprocess captions $(WORLD)
	@$(PY) -m preprocess pairs $(WORLD)
	@$(PY) -m preprocess embed $(WORLD) --demo
	@$(PY) -m train demo $(WORLD) $(if $(filter file,$(origin RATIO)),,$(call option,--ratio,RATIO)) \
		$(call option,--seed,SEED) $(call option,--tag,TAG) $(call option,--processes,PROCESSES)

street room: $(ENV)
	@$(PY) -m preprocess simulate $(call option,--manifest,MANIFEST) \
		--dataset=$(if $(value DATASET),$(call typed,DATASET),$@)

street: ## write the simulated street, in SemanticKITTI's layout
room: ## write the simulated rooms, in ScanNet's layout

captions: $(ENV) ## captions, entities and text embeddings, if the manifest changed; ONLY=stage runs one, LIMIT=n only prints
	@$(PY) -m preprocess captions $(DATA) $(call option,--only,ONLY) $(call option,--limit,LIMIT)

pairs: $(ENV) ## project the points into the images and write the point-text shards
	@$(PY) -m preprocess pairs $(DATA)

status: $(ENV) ## print for every stage: fresh, stale (and why), missing or partial, and its size
	@$(PY) -m preprocess status $(DATA)

audit: $(ENV) ## look before you train: coverage, words against labels (RATIO, SEED), calibration, pictures
	@$(PY) -m preprocess audit $(DATA) $(call option,--ratio,RATIO) $(call option,--seed,SEED)

doctor: $(ENV) ## check packages, weights, data, disk and GPU for what the manifest names, and print each fix
	@$(PY) -m preprocess doctor $(DATA)

weights: $(ENV) ## download the weights that the manifest names; MIRROR=folder reads a copied hub cache, INTO=folder writes there
	@$(PY) -m preprocess weights $(DATA) $(call option,--mirror,MIRROR) $(call option,--into,INTO)

preview: $(ENV) ## caption, phrases and masks of IMAGE=file by the manifest's models, as a picture and as text
	@$(PY) -m preprocess preview $(DATA) -- $(call needed,IMAGE,IMAGE=file)

train: $(ENV) ## train METHOD with labels for RATIO % of the scans; LOG=wandb, trackio or mlflow shows the figures there, too
	@$(PY) -m train run $(DATA) $(CHOICE) $(call option,--processes,PROCESSES) $(call flag,--resume,RESUME) $(call flag,--yes,YES) \
		$(call options,--log,LOG)

profile: $(ENV) ## time and peak memory of one step of that run, part by part; writes nothing
	@$(PY) -m train profile $(DATA) $(CHOICE)

eval: $(ENV) ## point-level mIoU of that run on SPLIT; TTA=8 averages turned and mirrored passes
	@$(PY) -m train eval $(DATA) $(FINISHED) $(ONSPLIT) $(PASSES)

report: $(ENV) ## one HTML page of that run
	@$(PY) -m train report $(DATA) $(FINISHED)

export: $(ENV) ## that run's predictions on SPLIT in the benchmark's format; INTO=folder, TTA=8
	@$(PY) -m train export $(DATA) $(FINISHED) $(ONSPLIT) $(PASSES) $(call option,--into,INTO)

clouds: $(ENV) ## PLY files of truth, prediction, error and text on SPLIT; SCANS="id ...", LIMIT=n, INTO=folder
	@$(PY) -m train clouds $(DATA) $(FINISHED) $(ONSPLIT) $(if $(value SCANS),--scans $(call members,SCANS)) \
		$(call option,--limit,LIMIT) $(call option,--into,INTO)

view: $(ENV) ## a Rerun recording of a SEQUENCE of SPLIT: points, prediction, truth, images, entities; LIMIT=n, INTO=file.rrd
	@$(PY) -m train view $(DATA) $(FINISHED) $(ONSPLIT) $(call option,--sequence,SEQUENCE) \
		$(call option,--limit,LIMIT) $(call option,--into,INTO)

query: $(ENV) ## points of SCAN=01/000010 that are like TEXT="a parked car", as PLY and page; SCORE=1: mAP of the class names
	@$(PY) -m preprocess embed $(DATA) $(or $(call flag,--classes,SCORE),$(ASKED))
	@$(PY) -m train query $(DATA) $(FINISHED) \
		$(if $(call flag,--score,SCORE),--score $(ONSPLIT),$(ASKED) $(OF_SCAN) $(call option,--into,INTO))

model: $(ENV) ## that run's model file: all that is needed to predict; INTO=file
	@$(PY) -m train model $(DATA) $(FINISHED) $(call option,--into,INTO)

predict: $(ENV) ## labels for INPUT=cloud or folder by MODEL=file: .label, coloured PLY, a page; INTO, COLUMNS=x,y,z,intensity, SCALE, TTA
	@$(PY) -m lass3d_core.model $(call option,--into,INTO) $(call option,--columns,COLUMNS) $(call options,--scale,SCALE) \
		$(PASSES) -- $(call needed,MODEL,MODEL=model.safetensors) $(call needed,INPUT,INPUT=scan.bin or a folder of clouds)

onnx: $(ENV) ## the model of that run (MODEL=file, or RUN=folder) as ONNX, range view alone; INTO=file
	@$(PY) -m lass3d_core.model.onnx_export -- \
		$(if $(value MODEL)$(value RUN),$(if $(value MODEL),$(call typed,MODEL),$(call typed,RUN)/model.safetensors),$(call \
		needed,MODEL,MODEL=file or RUN=folder)) $(if $(value INTO),$(call typed,INTO),model.onnx)

suggest: $(ENV) ## the N unlabelled scans whose labels would teach that run most, with a page that shows why
	@$(PY) -m train suggest $(DATA) $(FINISHED) $(call option,--count,N) $(call option,--into,INTO)

runs: $(ENV) ## list what was trained: data, ratio, seed, tag, changed settings, mIoU, size
	@$(PY) -m train runs $(DATA)

compare: $(ENV) ## one page for RUNS="folder folder ..."; INTO=file
	@$(PY) -m train compare $(DATA) $(call option,--into,INTO) -- \
		$(or $(call members,RUNS),$(error give RUNS="folder folder ..."))

table: $(ENV) ## TABLE=1..7, fig7, plus, plus-parts, ratio, real on DATASET: train the missing runs, write the table; SEEDS, RATIOS, FIGURES, PLAN=1
	@$(PY) -m train table $(DATA) $(call option,--table,TABLE) $(call option,--seeds,SEEDS) \
		$(call option,--ratios,RATIOS) $(call option,--figures,FIGURES) $(ONSPLIT) $(RECIPE) \
		$(call option,--processes,PROCESSES) $(call flag,--plan,PLAN) $(call flag,--yes,YES)

test: lint test-quick ## lint, type check and the quick tests

test-quick: tools ## the quick tests alone
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow"

test-slow: tools ## the other tests: faults, many processes, whole paths
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile -m slow

test-lvm: setup-lvm setup-lvm-paper ## the tests of the real models, on small random weights, in both environments
	@HF_HUB_OFFLINE=1 .venv-lvm/bin/python -m pytest tests/preprocess/lvm
	@HF_HUB_OFFLINE=1 .venv-lvm-paper/bin/python -m pytest tests/preprocess/lvm

lint: tools ## ruff, mypy and hadolint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(call quoted,$(value VENV)/bin/hadolint) Dockerfile

bench: $(ENV) ## speed and size against a peer or a limit, into docs/measurements.md; ONLY="pairing step" only prints
	@$(PY) benchmarks/performance.py $(call members,ONLY)

bench-lvm: ## images per second of the real models, batched and in the documented loops, in .venv-lvm-paper
	@$(MAKE) --no-print-directory setup VENV=.venv-lvm-paper
	@.venv-lvm-paper/bin/python benchmarks/lvm_throughput.py

results: $(ENV) ## fill the marked tables and figures of README and docs from the files of docs/tables
	@$(PY) benchmarks/fill_pages.py

docs: $(DOCS) ## build the documentation site into site/, strictly, and check its links
	@$(PY) docs/site/build.py

$(DOCS): $(ENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -c $(PINS) -e ".[docs]"
	@touch $(call quoted,$(value VENV)/.docs)

faults: $(ENV) ## kill commands 200 times and flip 500 bytes: no result may be lost (make test-slow has a short form)
	@$(PY) benchmarks/faults.py --kills 200 --flips 500

clean: $(ENV) ## ask, then delete artifacts and runs of the data set (never data); STALE=1 stale artifacts alone, RUN=folder one run
	@$(PY) -m preprocess clean $(DATA) $(call flag,--stale,STALE) $(call option,--run,RUN)
