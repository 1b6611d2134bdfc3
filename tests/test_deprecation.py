"""Former names work, and warn once, at the line that uses them."""

import fractions
import inspect
import sys
import types
import warnings

import pytest

from keras_tricks import _deprecation


@pytest.fixture(autouse=True)
def nothing_was_said(monkeypatch):
    monkeypatch.setattr(_deprecation, "_warned", set())


@pytest.fixture
def said():
    """What is warned of, with the file of the line."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield seen


def check(seen, *messages):
    assert [str(warning.message) for warning in seen] == list(messages)
    for warning in seen:
        assert warning.category is FutureWarning
        assert warning.filename == __file__


class Layer:
    @_deprecation.renamed_argument("rate", "drop_rate", removed_in="0.3")
    def __init__(self, units, drop_rate=0.5):
        """Makes a layer."""
        self.set = units, drop_rate


def test_a_former_argument_is_the_new_one(said):
    assert Layer(1, rate=0.1).set == Layer(1, drop_rate=0.1).set == (1, 0.1)
    assert Layer(2, rate=0.2).set == Layer(2, 0.2).set == (2, 0.2)
    check(
        said,
        "`Layer(rate=...)` is deprecated and will be removed in version 0.3: "
        "use `drop_rate`.",
    )


def test_the_new_argument_warns_of_nothing(said):
    assert Layer(1).set == (1, 0.5)
    assert list(inspect.signature(Layer).parameters) == ["units", "drop_rate"]
    assert Layer.__init__.__doc__ == "Makes a layer."
    check(said)


def test_both_names_are_refused():
    with pytest.raises(TypeError, match=r"once. Received: drop_rate=1, rate=2"):
        Layer(1, drop_rate=1, rate=2)


@pytest.fixture
def module(monkeypatch):
    module = types.ModuleType("old_home")
    moved = {"Ratio": "fractions.Fraction"}
    exec(
        "from keras_tricks._deprecation import moved_name\n"
        "def __getattr__(name):\n"
        "    return moved_name(__name__, name, moved, removed_in='0.3')\n",
        module.__dict__,
    )
    module.moved = moved
    monkeypatch.setitem(sys.modules, "old_home", module)
    return module


def test_a_moved_name_is_found(module, said):
    assert module.Ratio is module.Ratio is fractions.Fraction
    check(
        said,
        "`old_home.Ratio` is deprecated and will be removed in version 0.3: "
        "use `fractions.Fraction`.",
    )


def test_a_name_that_never_was(module, said):
    assert not hasattr(module, "Ration")
    with pytest.raises(AttributeError, match="'old_home' has no .* 'Ration'"):
        _ = module.Ration
    check(said)
