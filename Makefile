# make demo    the whole path on rendered bricks
# make test    all checks and tests
# Both install what they need into .venv first (make install).

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install demo check zone system test slow gpu-test bench bench-short wheel clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -3

install: $(INSTALLED)

# tensorflow-hub needs tf-keras to import, and tf-keras asks for the full tensorflow, which would
# overwrite tensorflow-cpu: so these two come without what they ask for. tensorflow-hub imports
# pkg_resources, which setuptools has up to version 81 and Python 3.12 brings no more.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("legoclf trains on Python 3.11 to 3.13, and " + sys.executable + " is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,render,openvino,bench,seen,tfds,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps tensorflow-hub tf-keras setuptools
	@touch $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/legoclf demo

# mypy and import-linter need the installed shape: from the root, ./legoclf hides the other five folders.
check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --target=3.6- --violations --eval-annotations --no-tips legoclf jetson convert/engine benchmarks/device
	rm -rf build
	$(BIN)/python -m pip install --quiet --no-deps --target build/lint .
	cd build/lint && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p legoclf
	cd build/lint && ../../$(BIN)/lint-imports --config ../../pyproject.toml
	rm -rf build

# The part that runs on a Jetson, on a real Python 3.6 where one is found: with JetPack's NumPy, and the newest.
zone: $(INSTALLED)
	$(BIN)/python tests/zone.py

# Debian's GStreamer, which the tests of cameras need; installed where that can be, else said and skipped.
system: $(INSTALLED)
	$(BIN)/python tests/system.py

test: check system zone
	$(BIN)/pytest -m "not slow and not gpu" -n auto --maxprocesses 8 --dist loadfile

# What takes minutes, and all of the zone's tests with the newest NumPy for Python 3.6 too.
slow: $(INSTALLED)
	$(BIN)/pytest -m slow
	$(BIN)/python tests/zone.py --all

# On a machine with an NVIDIA GPU: engines for real, where a TensorRT that knows the GPU is installed.
gpu-test: $(INSTALLED)
	$(BIN)/pytest -m gpu -rs

# Every benchmark of this machine, in under 15 minutes on two cores: tables and a page in ./benchmark.
bench: $(INSTALLED)
	$(BIN)/legoclf benchmark suite

# The same at a glance, and the gates: ratios of one run that may not fall below their bounds. For CI.
bench-short: $(INSTALLED)
	$(BIN)/legoclf benchmark suite --short
	for kind in inference live serving extraction; do \
		$(BIN)/legoclf benchmark compare benchmark/$$kind.json --gates benchmarks/gates.json || exit 1; done

# One wheel for every machine, in ./dist; the same commit gives the same bytes.
wheel: $(INSTALLED)
	$(BIN)/python deploy/build_wheel.py dist

clean:
	rm -rf .venv .venv36 .venv36new build dist demo benchmark
