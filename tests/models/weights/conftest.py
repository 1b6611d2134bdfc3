import keras
import numpy as np
import pytest


@pytest.fixture(scope="module", autouse=True)
def quick_kernels():
    """Networks without the cost of random kernels, which JAX compiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keras.initializers.GlorotUniform,
            "__call__",
            lambda self, shape, dtype=None: np.full(shape, 0.1, "float32"),
        )
        yield
