"""From a finished ablation to a recipe that keeps what helped."""

import dataclasses
import json
import statistics
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks.ablation.results import Results
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.recipe_file import RECOMMENDED
from keras_tricks.report.contrasts import HELPS, decide, versus


def recommend(sweep: Sweep, results: Results) -> tuple[str, Recipe]:
    """Return the configuration that is to be kept, as it was trained.

    Of those that are beyond noise better than the first one, by the rule of
    the sweep and corrected for their number, the one of the best mean; the
    first one where there is none.

    Args:
        sweep: The sweep.
        results: Its runs.

    Returns:
        The name and the recipe of its first seed.

    Example:
    >>> from keras_tricks.ablation import make_sweep
    >>> sweep = make_sweep(Recipe.preset("baseline"), ["cosine"])
    >>> recommend(sweep, Results({}, {}))[0]
    'baseline'
    """
    first, *others = sweep.recipes
    values = results.values(sweep)
    decisions = decide(
        [versus(name, name, first) for name in others],
        values,
        sweep.rule,
        results.failures(sweep),
    )
    better = [d.contrast.name for d in decisions if d.verdict == HELPS]
    sign = 1 if sweep.rule.higher_is_better else -1
    best = max(
        better,
        key=lambda name: sign * statistics.fmean(values[name].values()),
        default=first,
    )
    return best, sweep.recipes[best]


def write_recommendation(sweep: Sweep, results: Results, folder: Path) -> str:
    """Write the recommended recipe as JSON and as a flagfile.

    Returns:
        The name of its configuration.
    """
    name, recipe = recommend(sweep, results)
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
    return name


def _flag(name, value):
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    if isinstance(value, tuple):
        return f"--{name}={','.join(map(str, value))}"
    text = "none" if value is None else value
    return f"--{name}={text if isinstance(text, str) else json.dumps(text)}"
