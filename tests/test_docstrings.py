"""The examples of the docstrings run, each module's on its own."""

import doctest
import importlib
import importlib.util
import pathlib
import pkgutil
import re
from inspect import ismodule

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

SPAN = re.MULTILINE | re.DOTALL


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(
        module,
        extraglobs={"keras": keras, "np": np, "keras_tricks": keras_tricks},
    )
    assert result.failed == 0


def public_objects():
    for name in keras_tricks.__all__:
        room = getattr(keras_tricks, name)
        for public, value in vars(room).items() if ismodule(room) else ():
            is_public = not public.startswith("_") and not ismodule(value)
            if is_public and callable(value):
                yield f"{name}.{public}", value


@pytest.mark.parametrize(
    "value", [pytest.param(v, id=name) for name, v in public_objects()]
)
def test_public_objects_have_a_docstring_with_an_example(value):
    assert ">>> " in (value.__doc__ or "")


@pytest.mark.parametrize("name", MODULES)
def test_references_are_lists_of_one_form(name):
    path = importlib.util.find_spec(name).origin
    text = pathlib.Path(path).read_text("utf-8")
    blocks = re.findall(
        r"^( +)Reference:\n(.*?)(?:\n *\n| +\"\"\")", text, SPAN
    )
    for indent, block in blocks:
        for line in block.rstrip().splitlines():
            assert re.match(rf"{indent}    (- |  )\S", line), line
    assert "arXiv " not in "".join(block for _, block in blocks)
