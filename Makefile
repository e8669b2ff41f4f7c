# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
ID ?= id_00
OUT ?= out/demo
SEED ?= 0

.PHONY: demo demo-watch test test-slow test-e2e fuzz lint docs bench clean

# Installed anew whenever the pins change.
$(VENV)/.installed: requirements.txt requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

# Fit one machine id and evaluate it; without DATA on a synthetic pump that is well heard, 60 normal
# clips to learn from and 40 to test on, in under a minute of CPU time.
demo: $(VENV)/.installed
ifeq ($(DATA),)
	$(BIN)/aad synth out/demo-data --machines pump --ids 1 --normal 80 --abnormal 20 --snr 6 --seed $(SEED)
	$(BIN)/python src/main.py --data out/demo-data/6_dB_pump/pump --id $(ID) --out $(OUT) --preset instant --set audio.level=equalised
else
	$(BIN)/python src/main.py --data "$(DATA)" --id $(ID) --out $(OUT)
endif

# A quarter of an hour of a synthetic fan whose bearing fails, watched in two minutes of CPU time.
demo-watch: $(VENV)/.installed
	rm -rf out/demo-watch
	$(BIN)/python examples/watch_demo.py out/demo-watch
	$(BIN)/aad watch out/demo-watch/plant.yaml

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow and not e2e" -n 2 --dist loadgroup

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow and not e2e" -n 2 --dist loadgroup

# The report in Debian's Chromium (apt-get install chromium).
test-e2e: $(VENV)/.installed
	$(BIN)/python -m pytest -m e2e

# Some thousand hostile recordings and models, scored and counted: half an hour. Another SEED makes
# other ones.
fuzz: $(VENV)/.installed
	PYTHONPATH=tests $(BIN)/python -m hostile.campaign --seed $(SEED)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, into site/; a broken link or anchor is an error.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed
	$(BIN)/python -m performance

clean:
	rm -rf $(VENV) out build dist
