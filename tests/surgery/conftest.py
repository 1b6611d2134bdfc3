import pytest


@pytest.fixture(autouse=True)
def quick_kernels(numpy_kernels):
    """Networks whose random kernels JAX need not compile."""
