import keras
import numpy as np
import pytest


@pytest.fixture
def numpy_kernels(monkeypatch):
    """Random kernels of NumPy: JAX compiles a program for each shape."""
    rng = np.random.default_rng(0)

    def draw(self, shape, dtype=None):
        limit = (6 / np.prod(shape[:-1])) ** 0.5
        return rng.uniform(-limit, limit, shape).astype(dtype)

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", draw)


@pytest.fixture
def unfilled():
    """Creates variables without values: only their shapes are wanted."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()
