# make demo: a real question on a real image.   make test: the tests.   Only make and Python >= 3.11 are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env demo test lint check bench nano perception clean

# The stamp is made last, so an interrupted installation is done again.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "taco needs Python 3.11 or later; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@

# Links for editors and type checkers, which do not know the folders' mapping in pyproject.toml.
taco/tools:
	ln -s ../tools $@
taco/data_gen:
	ln -s ../data_gen $@

env: $(VENV)/installed taco/tools taco/data_gen

demo: env
	$(BIN)/taco ask docs/images/board.jpg "How much do 3 Mint tea cost?"

test: env
	$(BIN)/python -m pytest

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# The quick ones; nano_*.py and truth.py take up to an hour each.
bench: env
	for name in startup xgenmm_parity parser calculator ocr turns; do \
	  echo "== $$name"; OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; done

perception: env
	$(BIN)/python -m taco.data_gen.perception --out out/perception --resume
	$(BIN)/python -m taco.data_gen.perception --out out/perception --export tools/nano_perception

nano: env
	$(BIN)/python -m taco.data_gen.nano --out out/nano

clean:
	rm -rf $(VENV) build dist *.egg-info taco/tools taco/data_gen
