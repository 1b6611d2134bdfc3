# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKENDS := torch tensorflow jax
# Tests that compute nothing on the backend run on this one, which starts first.
ONCE := torch
# The CPU build of torch: plain `torch` would bring gigabytes of CUDA.
TORCH := torch==2.13.0

.PHONY: demo test check compat lint docs bench fuzz clean

## Trains with and without the bag of tricks on handwritten digits.
demo: $(VENV)/demo.done
	$(BIN)/python recipes/ablate.py --configurations=baseline,whole_bag \
	  --tune=base_learning_rate --tune_factors=0.5,1 --until=0.95 \
	  --most_seeds=12 --epochs=6 --parallel=2 --folder=runs/demo \
	  --title="Handwritten digits, with and without the bag of tricks"

# A worker that has nothing left takes half of what waits for the other.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist=worksteal

## Lint, then the whole suite once on each backend.
test: lint
	@for backend in $(BACKENDS); do \
	  echo "== $$backend"; \
	  which=; test $$backend = $(ONCE) || which="not once"; \
	  KERAS_BACKEND=$$backend $(PYTEST) -m "$$which" || exit 1; \
	done

## Lint, then the tests of what changed against main, on one backend.
check: lint
	@$(BIN)/python tests/changed.py > $(VENV)/changed
	@test ! -s $(VENV)/changed || \
	  KERAS_BACKEND=$(BACKEND) xargs $(PYTEST) < $(VENV)/changed

## The suite on the oldest and the newest Keras, on one backend.
KERAS := 3.13 3.15
BACKEND := torch
compat: $(KERAS:%=$(VENV)-keras-%/done)
	@for version in $(KERAS); do \
	  echo "== Keras $$version on $(BACKEND)"; \
	  KERAS_BACKEND=$(BACKEND) $(VENV)-keras-$$version/bin/python \
	    -m pytest -q -n 2 || exit 1; \
	done

# Keras alone; all else is that of .venv, which comes later on the path.
$(VENV)-keras-%/done: $(VENV)/dev.done
	$(BIN)/python -m venv --without-pip $(VENV)-keras-$*
	$(BIN)/pip --python $(VENV)-keras-$*/bin/python install -q --no-deps \
	  "keras==$*.*"
	cd $(VENV)-keras-$*/lib/python*/site-packages && \
	  $(CURDIR)/$(BIN)/python -c "import sysconfig as s; \
	  print('import site; site.addsitedir(%r)' % s.get_path('purelib'))" \
	  > base.pth
	touch $@

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

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

fuzz: $(VENV)/dev.done
	$(BIN)/python tests/fuzz/run.py --quick

clean:
	rm -rf $(VENV) $(VENV)-keras-* runs site

$(BIN)/python:
	$(PYTHON) -c "import sys; v = sys.version_info; \
	  sys.exit(not (3, 11) <= v[:2] <= (3, 13) and \
	  f'Python must be 3.11 to 3.13. Received: {v[0]}.{v[1]}')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(BIN)/python setup.cfg
	$(BIN)/pip install -q -e ".[tensorflow]"
	touch $@

$(VENV)/dev.done: $(BIN)/python setup.cfg
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q -e ".[tensorflow,jax,torch,dev]"
	touch $@
