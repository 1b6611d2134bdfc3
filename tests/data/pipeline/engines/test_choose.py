import importlib.util

import pytest

from keras_tricks.data.pipeline.engines import choose_engine


@pytest.fixture
def installed(monkeypatch):
    """Makes some packages the only ones that are installed."""

    def only(*names):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: object() if name in names else None,
        )

    return only


@pytest.mark.parametrize(
    "packages, engine",
    [
        (("tensorflow", "grain"), "tf.data"),
        (("grain",), "grain"),
        (("tensorflow",), "tf.data"),
    ],
)
def test_auto_takes_tf_data_where_tensorflow_is(installed, packages, engine):
    installed(*packages)
    assert choose_engine() == engine


def test_an_engine_that_is_missing_is_named_with_its_extra(installed):
    installed("tensorflow")
    with pytest.raises(ImportError, match=r"'grain' .*keras_tricks\[grain\]"):
        choose_engine("grain")
    installed()
    with pytest.raises(ImportError, match=r"\[tensorflow\]' or .*\[grain\]"):
        choose_engine()


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="`input_engine` must be one of"):
        choose_engine("dali")
