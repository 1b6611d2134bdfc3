import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Else LLVM takes most of the time of JAX's tests, for steps that run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# On a GPU: else products of float32 matrices are rounded to 10 bits.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each core: more threads would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# Tests that compute nothing on the backend: `make test` runs them on one.
# What they call is files, NumPy, Pillow, reports, recipes and flags.
ONCE = """
data/inspection
data/pipeline/engines/test_choose.py
data/pipeline/test_bad_records.py
data/pipeline/test_read_ahead.py
data/shards
data/sources
data/transforms/test_colors.py
data/transforms/test_decode.py
data/transforms/test_erasing.py
data/transforms/test_jitter_and_light.py
data/transforms/test_jpeg_header.py
data/transforms/test_policies.py
data/transforms/test_preprocessing.py
data/transforms/test_random_crops.py
distribute/test_select.py
distribute/test_together.py
recipes/test_ablate.py
recipes/test_check_data.py
recipes/test_compare_distillation.py
recipes/test_evaluate.py::test_a_mistake
recipes/test_evaluate.py::test_a_table_names_classes
recipes/test_evaluate.py::test_an_evaluation_counts
recipes/test_launch.py
recipes/test_make_records.py
recipes/test_train.py::test_a_
recipes/test_train.py::test_an_unknown_backend
recipes/test_train.py::test_every_field
recipes/test_train.py::test_flags_win
recipes/test_train.py::test_none_is_said
recipes/test_train.py::test_the_
report/test_comparison_report.py
report/test_comparison_table.py
report/test_data_report.py
report/test_evaluation_report.py
report/test_run_folder.py
report/test_run_report.py
report/test_statistics.py
test_changed.py
test_docs.py::test_links
test_docs.py::test_the_
test_docstrings.py::test_public_objects
test_mistakes.py::test_a_wrong_flag
""".split()


def pytest_configure(config):
    text = "once: computes nothing on the backend, so that one is enough"
    config.addinivalue_line("markers", text)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what is `ONCE` before pytest selects by its option `-m`."""
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(tuple(ONCE)):
            item.add_marker("once")


@pytest.fixture
def numpy_kernels(monkeypatch):
    """Random kernels of NumPy: JAX compiles a program for each shape."""
    import keras

    def draw(self, shape, dtype=None):
        limit = (6 / np.prod(shape[:-1])) ** 0.5
        rng = np.random.default_rng(self.seed)
        return rng.uniform(-limit, limit, shape).astype(dtype or "float32")

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", draw)
