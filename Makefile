# Every target sets up a virtual environment in .venv with pinned versions first.
#   make demo   train RAM on MNIST and draw where it looks: about seven minutes on two cores
#   make test   lint, layers, types, tests
#   make docs   the documentation site, in docs/_build/html; make linkcheck tries its links to other sites
#   make hostile   attack everything at random; MINUTES=20 and SEED= (from the clock)
PYTHON ?= python3
MINUTES ?= 20
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find glimpse_gym envs agents -type f -not -path '*/__pycache__/*')

DOCS := docs/_build

.PHONY: demo test docs linkcheck hostile lint layers types clean

demo: $(VENV)/agents.stamp
	$(BIN)/glimpse-gym data mnist
	$(BIN)/glimpse-gym train glimpse_gym/MNIST-v0 --out runs/demo --resume \
		--num-episodes 350000 --batch-size 128 --learning-rate 5e-3 --num-threads 2
	$(BIN)/glimpse-gym eval runs/demo --split test

test: lint layers types
	$(BIN)/glimpse-gym data mnist
	$(BIN)/python -m pytest

docs: $(DOCS)/source
	$(BIN)/sphinx-build -W --keep-going -q -c docs $(DOCS)/source $(DOCS)/html
	@echo "The site is in $(DOCS)/html/index.html"

linkcheck: $(DOCS)/source
	$(BIN)/sphinx-build -W --keep-going -q -b linkcheck -c docs $(DOCS)/source $(DOCS)/linkcheck

.PHONY: $(DOCS)/source
$(DOCS)/source: $(VENV)/docs.stamp
	$(BIN)/glimpse-gym data mnist
	cd docs && ../$(BIN)/python -m glimpse_site

hostile: $(VENV)/test.stamp
	$(BIN)/glimpse-gym data mnist
	cd tests && ../$(BIN)/python -m hostile --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Both check the installed package, since envs/ and agents/ are part of glimpse_gym only there.
layers: $(VENV)/installed.stamp
	cd $(VENV)/installed && ../bin/lint-imports --no-cache ../../pyproject.toml

types: $(VENV)/installed.stamp
	cd $(VENV)/installed && ../bin/mypy --config-file ../../pyproject.toml -p glimpse_gym

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@

$(VENV)/installed.stamp: $(SOURCES) $(VENV)/test.stamp
	rm -rf $(VENV)/installed build
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/installed .
	rm -rf build
	touch $@

clean:
	rm -rf $(VENV) build dist $(DOCS) *.egg-info
