"""From a finished ablation to a recipe that keeps what helped."""

import dataclasses
import json
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.recipe_file import RECOMMENDED
from keras_tricks.report.contrasts import HELPS, Decision


def recommend(sweep: Sweep, decisions: list[Decision]) -> Recipe:
    """Return the baseline with the tricks that helped beyond noise.

    Args:
        sweep: The sweep.
        decisions: What its runs decided.

    Returns:
        The recipe of the configuration that has just these tricks, or of the
        baseline with their fields.

    Example:
    >>> from keras_tricks.ablation import make_sweep
    >>> sweep = make_sweep(Recipe.preset("baseline"), ["cosine"])
    >>> recommend(sweep, []).schedule
    'step'
    """
    recipe = next(iter(sweep.recipes.values()))
    for name in helpful_tricks(sweep, decisions):
        recipe = recipe.replace(**sweep.tricks[name])
    return recipe


def helpful_tricks(sweep: Sweep, decisions: list[Decision]) -> list[str]:
    """Return the names of the tricks that helped, in their order."""
    helped = {d.contrast.name for d in decisions if d.verdict == HELPS}
    return [name for name in sweep.tricks if name in helped]


def write_recommendation(
    sweep: Sweep, decisions: list[Decision], folder: Path
) -> Recipe:
    """Write the recommended recipe as JSON and as a flagfile.

    Returns:
        The recipe.
    """
    recipe = recommend(sweep, decisions)
    folder = Path(folder)
    write_atomically(folder / RECOMMENDED, recipe.to_json())
    lines = [
        _flag(field.name, getattr(recipe, field.name))
        for field in dataclasses.fields(recipe)
        if getattr(recipe, field.name) != field.default
    ]
    write_atomically(
        (folder / RECOMMENDED).with_suffix(".flags"), "\n".join([*lines, ""])
    )
    return recipe


def _flag(name, value):
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    if isinstance(value, tuple):
        return f"--{name}={','.join(map(str, value))}"
    text = "none" if value is None else value
    return f"--{name}={text if isinstance(text, str) else json.dumps(text)}"
