import pytest

from keras_tricks import training

from .small_network import small_network


@pytest.fixture(scope="module")
def small():
    """Puts a small network in the place of every recipe's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "build_model", small_network)
        yield
