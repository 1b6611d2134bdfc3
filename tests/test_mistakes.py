"""What users get wrong, and the one line that tells them."""

import ast
import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest
from absl import flags

from keras_tricks import Recipe
from keras_tricks.losses import LabelSmoothedCrossentropy

from . import (
    mistakes_in_code,
    mistakes_in_distillation,
    mistakes_in_fine_tuning,
    mistakes_in_images,
    mistakes_in_labels,
    mistakes_in_metrics,
    mistakes_in_networks,
    mistakes_in_optimizers,
    mistakes_in_runs,
)
from .mistakes_in_code import LABELS, LOGITS

RECIPES = Path(__file__).parents[1] / "recipes"
PACKAGE = Path(__file__).parents[1] / "keras_tricks"
MISTAKES = (
    mistakes_in_code.MISTAKES
    | mistakes_in_distillation.MISTAKES
    | mistakes_in_fine_tuning.MISTAKES
    | mistakes_in_images.MISTAKES
    | mistakes_in_labels.MISTAKES
    | mistakes_in_metrics.MISTAKES
    | mistakes_in_networks.MISTAKES
    | mistakes_in_optimizers.MISTAKES
    | mistakes_in_runs.MISTAKES
)


def matches(message, expected):
    """Whether a message is as expected, with any text for an ellipsis."""
    parts = map(re.escape, expected.split("…"))
    return re.fullmatch(".*".join(parts), message) is not None


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(name, tmp_path):
    make, error, expected = MISTAKES[name]
    with pytest.raises(error) as caught:
        make(tmp_path)
    message = str(caught.value)
    assert type(caught.value) is error
    assert len(message.splitlines()) == 1
    told, _, received = message.partition("Received: ")
    assert "`" in told or str(tmp_path) in told
    assert received
    assert matches(message, expected), message


def test_a_column_of_labels_is_no_mistake():
    loss = LabelSmoothedCrossentropy()
    column = float(loss(LABELS[:, None], LOGITS))
    assert column == pytest.approx(float(loss(LABELS, LOGITS)), rel=1e-6)


@pytest.mark.parametrize(
    "flag, expected",
    [
        ("--variant=E", "flag --variant=E: value should be one of <A|B|C|D>"),
        ("--depth=20", "flag --depth=20: value should be one of <18|34|50|…>"),
        (
            "--train_samples=few",
            "flag --train_samples=few: must be an integer…",
        ),
        (
            "--image_size=16x",
            "flag --image_size=16x: must be an integer, height x width as …",
        ),
        ("--step_epochs=a,b", "flag --step_epochs=a,b: must be integers …"),
        (
            "--label_smoothng=0",
            "…'label_smoothng'. Did you mean: label_smooth…",
        ),
        (
            "--label_smoothing=1",
            "`label_smoothing` must be … [0, 1). Received: …=1.0",
        ),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(flag, expected):
    file = RECIPES / "recipe_flags.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    recipe_flags = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe_flags)
    values = flags.FlagValues()
    recipe_flags.define(values)
    with pytest.raises((flags.Error, ValueError)) as caught:
        values(["train.py", flag])
        recipe_flags.recipe_from_flags(values)
    assert matches(str(caught.value), expected), caught.value


def texts_of(tree):
    """Strings of a module, the parts of f-strings too, without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, documented)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value not in docstrings:
                yield node.value


def test_a_flag_that_a_message_names_exists():
    known = {field.name for field in dataclasses.fields(Recipe)}
    # Of absl, and in the usage of keras-tricks.
    known |= {"help", "version", "flagfile", "flag"}
    files = [*RECIPES.glob("*.py"), *PACKAGE.rglob("*.py")]
    trees = {file: ast.parse(file.read_text("utf-8")) for file in files}
    for file, tree in trees.items():
        for node in ast.walk(tree):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if file.parent == RECIPES and name.startswith("flags.DEFINE_"):
                known.add(node.args[0].value)
    wrong = {
        (file.name, flag)
        for file, tree in trees.items()
        for text in texts_of(tree)
        for flag in re.findall(r"(?<![\w-])--([a-z]\w+)(?![\w-])", text)
        if flag.removeprefix("no") not in known and flag not in known
    }
    assert not wrong and {"data_dir", "image_key", "classes"} <= known
