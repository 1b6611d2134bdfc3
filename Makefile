# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKENDS := tensorflow jax torch
# The CPU build of torch: plain `torch` would bring gigabytes of CUDA.
TORCH := torch==2.13.0

.PHONY: demo test lint docs bench clean

## Trains with and without the bag of tricks on handwritten digits.
demo: $(VENV)/demo.done
	$(BIN)/python recipes/ablate.py --configurations=baseline,whole_bag \
	  --seeds=3 --epochs=15 --folder=runs/demo \
	  --title="Handwritten digits, with and without the bag of tricks"

## Lint, then the whole suite once on each backend.
test: lint
	@for backend in $(BACKENDS); do \
	  echo "== $$backend"; \
	  KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q -n 2 || exit 1; \
	done

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(VENV)/dev.done
	$(BIN)/mkdocs build --strict

bench: $(VENV)/dev.done
	@for backend in $(BACKENDS); do \
	  for script in sgd_update trick_cost distillation_step resnet50_step; do \
	    echo "== $$script on $$backend"; \
	    KERAS_BACKEND=$$backend $(BIN)/python benchmarks/$$script.py \
	      || exit 1; \
	  done; \
	done
	$(BIN)/python benchmarks/configurations.py

clean:
	rm -rf $(VENV) runs site

$(BIN)/python:
	$(PYTHON) -c "import sys; v = sys.version_info; \
	  sys.exit(not (3, 11) <= v[:2] <= (3, 13) and \
	  f'Python must be 3.11 to 3.13. Received: {v[0]}.{v[1]}')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(BIN)/python setup.cfg
	$(BIN)/pip install -q -e ".[tensorflow,data,report]"
	touch $@

$(VENV)/dev.done: $(BIN)/python setup.cfg
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q -e ".[tensorflow,jax,torch,dev]"
	touch $@
