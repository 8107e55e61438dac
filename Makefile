# Bitwright: `make train export hls` takes a network from PyTorch to a verified FPGA project.
# Every target that carries a `## text` is shown by `make help`.

export PYTHONSAFEPATH = 1

EXPERIMENT ?= configs/digits_mlp_w6a6.toml
DATA_DIR   ?=
SET        ?=
FUZZ       ?= --count 500
CHECKPOINT ?=
RUNS_DIR   ?= runs
RUNS       ?= $(patsubst %/experiment.toml,%,$(wildcard $(RUNS_DIR)/*/experiment.toml))
PYTHON     ?= python3

BIN       := .venv/bin
INSTALLED := .venv/.installed
RUN        = "$(EXPERIMENT)" --runs-dir "$(RUNS_DIR)" $(foreach s,$(SET),--set '$(s)')
ARGS       = $(RUN) $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

.DEFAULT_GOAL := help
.PHONY: help install train export hls calibrate search compare verify diff doctor check test test-all fuzz bench bench-cnv bench-rtl bench-fold bench-packing bench-accuracy bench-calibration bench-estimate bench-packed bench-published rtl synth clean

help: ## Show the targets and the variables
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F '\t' '{printf "  make %-17s %s\n", $$1, $$2}'
	@printf '\nVariables (make train EXPERIMENT=configs/mnist_lenet5_w6a6.toml):\n'
	@printf '  %-12s %s\n' \
	  EXPERIMENT 'the experiment, a TOML file (now $(EXPERIMENT))' \
	  DATA_DIR 'folder of the data sets (default: BITWRIGHT_DATA, or bitwright/data in the cache folder)' \
	  SET 'settings to override: SET="train.epochs=3 hls.io_type=io_stream"' \
	  CALIBRATE 'options of calibrate (see `bitwright calibrate --help`)' \
	  SEARCH 'options of search (see `bitwright search --help`)' \
	  RUNS 'the runs that `make compare` compares (default: all in RUNS_DIR)' \
	  COMPARE 'options of compare (see `bitwright compare --help`)' \
	  FUZZ 'what `make fuzz` looks at (now $(FUZZ)); FUZZ=--help tells' \
	  CHECKPOINT 'weights for bench-cnv (default: seeded ones)' \
	  RUNS_DIR 'where the runs lie (now $(RUNS_DIR))' \
	  PYTHON 'the Python that makes the environment (now $(PYTHON); 3.11 to 3.13)'

install: $(INSTALLED) ## Make the environment in .venv with the pinned packages

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo 'make: PYTHON must be Python 3.11 to 3.13, not $(PYTHON); set PYTHON=python3.11'; exit 2; } >&2
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@rm -rf bitwright.egg-info
	@mkdir -p .venv/src && ln -sfn "$(CURDIR)" .venv/src/bitwright # for mypy and pyright, which read no import hooks
	@touch $@

train: $(INSTALLED) ## Train the experiment's network (resumes where it was interrupted)
	$(BIN)/bitwright train $(ARGS)

export: train ## Export QONNX, lower to the integer program, check it against PyTorch and qonnx
	$(BIN)/bitwright export $(ARGS)

hls: export ## Write the hls4ml project, compile it, run the C simulation on the whole test set
	$(BIN)/bitwright hls $(ARGS)

verify: $(INSTALLED) ## Compare the integers of every level of the run again
	$(BIN)/bitwright verify $(ARGS)

calibrate search: EXPERIMENT = configs/digits_mlp_float.toml

calibrate: train ## Make a fixed-point run of a float one, without training (CALIBRATE="--weight-bit-width 6")
	$(BIN)/bitwright calibrate $(ARGS) $(CALIBRATE)

search: train ## Find the least bit widths of a float run (SEARCH="--target-accuracy 0.95 --trials 100")
	$(BIN)/bitwright search $(ARGS) $(SEARCH)

compare: $(INSTALLED) ## Compare runs: a table here, a page in runs/compare.html (RUNS="runs/x runs/y" COMPARE=--no-speed)
	@test -n "$(RUNS)" || { echo 'compare: RUNS must name runs, not be empty, and $(RUNS_DIR) has none;' \
	  'train one with make train, or say RUNS="runs/x runs/y"' >&2; exit 2; }
	$(BIN)/bitwright compare $(RUNS) --format html --out "$(RUNS_DIR)/compare.html" $(COMPARE)

rtl: $(INSTALLED) ## Write the run as pipelined RTL and simulate the whole test set (after export)
	$(BIN)/bitwright rtl $(RUN)

synth: $(INSTALLED) ## Say what the run's RTL takes: Yosys, and the vendor's tools where there are any (after rtl)
	$(BIN)/bitwright synth $(RUN)

diff: $(INSTALLED) ## Name the first layer whose integers differ, and why
	$(BIN)/bitwright diff $(RUN)

doctor: $(INSTALLED) ## Show versions against the pins, and which tools are missing
	$(BIN)/bitwright doctor

check: $(INSTALLED) ## Lint and types: ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two workers of one thread each: on two cores, more make OpenMP spin
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: check ## Lint, types and the tests
	$(PYTEST)

test-all: check ## The tests and those that take minutes
	$(PYTEST) -m 'slow or not slow' --timeout 5400

fuzz: $(INSTALLED) ## Random networks at every level: FUZZ="--seconds 3600", FUZZ=--help
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python tests/fuzz.py $(FUZZ)

bench: $(INSTALLED) ## Time the integer executor beside qonnx's executor
	$(BIN)/python -m bitwright.cli.benchmark

bench-packed: $(INSTALLED) ## Time 1-bit networks as integers beside PyTorch's float32 (BENCH="--rounds 5 LFC" for less)
	$(BIN)/python -m bitwright.cli.benchmark_packed $(BENCH)

bench-cnv: EXPERIMENT = configs/cifar10_cnv_w2a2.toml
bench-cnv: $(INSTALLED) ## Time and weigh CNV's road on CIFAR-10, hls4ml's own compile beside it (minutes)
	$(BIN)/python -m bitwright.cli.benchmark_cnv "$(EXPERIMENT)" $(if $(DATA_DIR),--data-dir "$(DATA_DIR)") \
	  $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)")

bench-rtl: $(INSTALLED) ## Time RTL of the jet tagger step by step; of exported runs: BENCH_RUNS="runs/x runs/y"
	$(BIN)/python -m bitwright.cli.benchmark_rtl $(BENCH_RUNS)

bench-fold: $(INSTALLED) ## Measure logic used clock after clock: BENCH_RUNS="runs/x --reuse-factors 1 4" (minutes)
	$(BIN)/python -m bitwright.cli.benchmark_fold $(BENCH_RUNS)

bench-packing: $(INSTALLED) ## LUT of 1-bit layers beside fixed-point ones of equal accuracy, three seeds: an hour (BENCH=--help)
	OMP_NUM_THREADS=1 $(BIN)/python -m bitwright.cli.benchmark_packing $(BENCH)

bench-accuracy: $(INSTALLED) ## Train the networks of docs/accuracy.md and write it: days (BENCH="mnist_tfc_w1a1 --seeds 1" for less)
	OMP_NUM_THREADS=1 $(BIN)/python -m bitwright.cli.benchmark_accuracy $(BENCH)

bench-calibration: $(INSTALLED) ## Calibration beside training, LeNet-5, three seeds: hours (BENCH="--seeds 1" for less, --jets)
	OMP_NUM_THREADS=1 $(BIN)/python -m bitwright.cli.benchmark_calibration $(BENCH)

bench-estimate: $(INSTALLED) ## Measure estimates against vendor reports; with runs: BENCH_RUNS="runs/x" against alkaid and Yosys
	$(BIN)/python -m bitwright.cli.benchmark_estimate $(BENCH_RUNS)

bench-published: $(INSTALLED) ## RTL beside a published hls4ml project of the same network (BENCH="PROJECT_FOLDER --inputs jets")
	OMP_NUM_THREADS=1 $(BIN)/python -m bitwright.cli.benchmark_published $(BENCH)

clean: ## Delete caches and build outputs; runs and the environment stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
