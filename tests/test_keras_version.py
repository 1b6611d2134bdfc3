"""The versions of Keras that the library knows how to change."""

import warnings

import keras
import pytest

from keras_tricks import _keras_version
from keras_tricks._keras_version import check_keras_version
from keras_tricks.data import Preprocessing
from keras_tricks.distribute import distribute
from keras_tricks.training import DeviceFinish, finish_on_device


@pytest.fixture
def version(monkeypatch):
    """Lets Keras say that it is another version."""
    _keras_version._check.cache_clear()
    yield lambda text: monkeypatch.setattr(keras, "__version__", text)
    _keras_version._check.cache_clear()


@pytest.mark.parametrize("text", ["3.13.0", "3.14.1", "3.15.1", "3.15.0rc1"])
def test_known_versions(version, text):
    version(text)
    check_keras_version()


@pytest.mark.parametrize("text", ["3.16.0", "3.16.0.dev2026082203", "4.0.0"])
def test_a_newer_one_is_warned_of_once_with_the_tests(version, text):
    version(text)
    with pytest.warns(UserWarning, match="3.13 to 3.15.*Run tests/distr") as w:
        check_keras_version()
    assert str(w[0].message).endswith(f"Received: Keras {text}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_keras_version()


@pytest.mark.parametrize("text", ["3.12.4", "3.9.0", "2.15.0"])
def test_an_older_one_is_refused(version, text):
    version(text)
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=f"3.13 .*Received: Keras {text}"
        ):
            check_keras_version()


def test_what_changes_keras_checks_it_first(version):
    version("3.12.4")
    several = {
        "tensorflow": "mirrored",
        "jax": "jax",
        "torch": "torch_ddp",
    }
    with pytest.raises(RuntimeError, match="Keras must be 3.13 or later"):
        distribute(several[keras.backend.backend()])
    with pytest.raises(RuntimeError, match="Keras must be 3.13 or later"):
        finish_on_device(None, DeviceFinish(Preprocessing(8)), None)
    assert distribute("none").name == "none"  # It changes nothing.
