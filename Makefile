# Each of the two main targets does all of its own set-up: a virtual environment in .venv with pinned versions.
#   make demo   train RAM on MNIST and draw where it looks: some seven minutes on two cores
#   make test   lint, types, tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find glimpse_gym envs agents -name '*.py')

.PHONY: demo test lint types clean

demo: $(VENV)/agents.stamp
	$(BIN)/glimpse-gym data mnist
	$(BIN)/glimpse-gym train glimpse_gym/MNIST-v0 --out runs/demo --resume \
		--set num_episodes=350000 --set batch_size=128 --set learning_rate=5e-3 --set threads=2
	$(BIN)/glimpse-gym eval runs/demo --split test

test: lint types
	$(BIN)/glimpse-gym data mnist
	$(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The installed package is what is checked, as its users' type checkers see it.
types: $(VENV)/installed.stamp
	cd $(VENV)/installed && ../bin/mypy --config-file ../../setup.cfg -p glimpse_gym

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes some minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@

$(VENV)/installed.stamp: $(SOURCES) $(VENV)/test.stamp
	rm -rf $(VENV)/installed build
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/installed .
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
