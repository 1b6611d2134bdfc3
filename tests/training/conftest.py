import pytest

from keras_tricks import training
from keras_tricks.report import run_report

from .small_network import small_network


@pytest.fixture(scope="module")
def small():
    """Puts a small network in the place of every recipe's.

    Its reports have no pictures, which take as long as the run.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "build_model", small_network)
        patch.setattr(run_report, "_figures", lambda run: [])
        yield
