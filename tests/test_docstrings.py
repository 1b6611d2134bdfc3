"""The examples of the docstrings run, each module's on its own."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import keras_tricks

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(
        keras_tricks.__path__, prefix="keras_tricks."
    )
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(
        module,
        extraglobs={"keras": keras, "np": np, "keras_tricks": keras_tricks},
    )
    assert result.failed == 0


def public_objects():
    for name in keras_tricks.__dict__:
        part = getattr(keras_tricks, name)
        if name.startswith("_") or not hasattr(part, "__path__"):
            continue
        for public in vars(part):
            value = getattr(part, public)
            is_module = hasattr(value, "__spec__")
            if not public.startswith("_") and callable(value) and not is_module:
                yield f"{name}.{public}", value


@pytest.mark.parametrize(
    "value", [pytest.param(v, id=name) for name, v in public_objects()]
)
def test_public_objects_have_a_docstring_with_an_example(value):
    assert ">>> " in (value.__doc__ or "")
