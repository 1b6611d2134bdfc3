"""A fair start: the peak learning rate of the baseline and of the bag."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from keras_tricks import training
from keras_tricks._files import write_atomically
from keras_tricks._lock import FolderLock
from keras_tricks.ablation.sweep import TUNING_SEED
from keras_tricks.recipe import Recipe
from keras_tricks.report.metric_text import metric_name
from keras_tricks.report.run_folder import read_run

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""What the peak rate of the base is multiplied by."""
_SHARE = 0.2
_MOST_BEYOND = 3


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The rate that a recipe is given, and how it was found.

    Attributes:
        base_learning_rate: The chosen one.
        trials: Rounds of (rate, validation accuracy or None if it failed).
        said: A sentence for the report.
    """

    base_learning_rate: float
    trials: tuple[tuple[tuple[float, float | None], ...], ...]
    said: str


def tune(
    recipe: Recipe,
    name: str,
    folder: Path,
    factors: tuple[float, ...] = FACTORS,
    say: Callable[[str], None] = print,
) -> Tuned:
    """Choose the peak rate of a recipe on a part of its training images.

    Successive halving: all rates train for a quarter of the epochs (and, while
    the best is at an edge, one beyond it), the better half of them for half of
    the epochs, and so on until one is left or the epochs are reached. A fifth
    of each class of the training images is held out and decides, by accuracy
    and, where that is equal, by cross-entropy; the test images are not seen.
    The seed is none of those that are reported. The runs stay in the folder.

    Args:
        recipe: The recipe; its rate times `factors` are the candidates.
        name: Of its configuration.
        folder: Where the runs go.
        factors: Of the rate.
        say: Takes a line for each trial.

    Returns:
        A `Tuned`; where no rate survives, that of the recipe, and it says so.

    Raises:
        ValueError: If the recipe holds images out itself.
        Exception: As `keras_tricks.training.train`.

    Example:
    >>> import tempfile
    >>> recipe = Recipe(
    ...     epochs=1, warmup_epochs=0, width=2, train_samples=160
    ... )
    >>> tuned = tune(
    ...     recipe, "bag", tempfile.mkdtemp(), (0.5,), say=lambda line: None
    ... )
    >>> tuned.base_learning_rate
    0.05

    Reference:
        - [Jamieson and Talwalkar, 2016](https://arxiv.org/abs/1502.07943)
    """
    check_tunable(recipe)
    rates = [recipe.base_learning_rate * factor for factor in factors]
    trials: list = []
    epochs = max(1, recipe.epochs // 4)
    while True:
        scores = {
            rate: _trial(recipe, name, rate, epochs, Path(folder), say)
            for rate in rates
        }
        trials.append(
            tuple((rate, score and score[0]) for rate, score in scores.items())
        )
        if len(trials) == 1 and (more := _beyond(scores, len(factors))):
            # The best is at an edge: one more, until it is not.
            rates = [*scores, more]
            trials.clear()
            continue
        alive = {rate: score for rate, score in scores.items() if score}
        rates = sorted(alive, key=lambda rate: alive[rate], reverse=True)
        rates = rates[: max(1, len(scores) // 2)]
        if len(rates) <= 1 or epochs >= recipe.epochs:
            break
        epochs = min(recipe.epochs, 2 * epochs)
    best = rates[0] if rates else recipe.base_learning_rate
    counts = " of ".join(str(len(some)) for some in reversed(trials))
    said = (
        f"{name}: base_learning_rate={best:g}, the best of "
        f"{', '.join(f'{rate:g}' for rate in sorted(r for r, _ in trials[0]))}"
        " on a fifth of the "
        f"training images (successive halving, seed {TUNING_SEED}, up to "
        f"{epochs} epochs; {counts} in the last round)"
    )
    if not rates:
        said = f"{name}: no rate survived; base_learning_rate={best:g} stays"
    edges = min(r for r, _ in trials[0]), max(r for r, _ in trials[0])
    if rates and best in edges and len(trials[0]) > 1:
        said += (
            "; it is at the edge of the range, so a rate beyond it may be "
            "better"
        )
    return Tuned(best, tuple(trials), said)


def check_tunable(recipe: Recipe) -> None:
    """Refuse a recipe that holds images out itself.

    Raises:
        ValueError: If it does.
    """
    if recipe.validation_share:
        raise ValueError(
            "`validation_share` must be 0 for tuning, which holds images out "
            "by itself and must not see those that are reported on. "
            f"Received: validation_share={recipe.validation_share}"
        )


def _beyond(scores, count):
    """Return a rate beyond the best, if that is at an edge."""
    alive = {rate: score for rate, score in scores.items() if score}
    if not alive or count < 2 or len(scores) >= count + _MOST_BEYOND:
        return None
    best = max(alive, key=lambda rate: alive[rate])
    if best == max(scores):
        return 2 * best
    return best / 2 if best == min(scores) else None


def _trial(recipe, name, rate, epochs, folder, say):
    """Return accuracy and negated cross-entropy, `None` for a failed run."""
    trial = recipe.replace(
        base_learning_rate=rate,
        validation_share=_SHARE,
        seed=TUNING_SEED,
        **_shortened(recipe, epochs),
    )
    place = folder / f"{name}_rate{rate:g}_epochs{epochs}"
    with FolderLock(folder / ".claims" / place.name, "folder"):
        failed = place / "failed.json"
        is_new = not failed.exists() and not (place / "result.json").exists()
        if is_new:
            say(f"tuning {name}: rate {rate:g}, {epochs} epochs")
            try:
                training.train(trial, place, verbose=0)
            except FloatingPointError as error:
                write_atomically(failed, json.dumps({"error": str(error)}))
        if failed.exists():
            return None
        training.check_same(trial, place)
        run = read_run(place)
    measure = trial.measure
    score = run.last(measure), -run.last("val_crossentropy")
    if is_new:
        name = metric_name(measure.removeprefix("val_"))
        say(f"  held-out {name} {score[0]:.2%}")
    return score


def _shortened(recipe, epochs):
    """Return the fields of a schedule that is squeezed into fewer epochs."""
    share = epochs / recipe.epochs
    changes = {
        "epochs": epochs,
        "warmup_epochs": recipe.warmup_epochs * share,
        "mixup_off_epochs": int(recipe.mixup_off_epochs * share),
    }
    steps = recipe.step_epochs
    if steps is not None:
        fewer = {max(1, round(step * share)) for step in steps}
        changes["step_epochs"] = tuple(sorted(fewer - {epochs})) or None
    sizes = recipe.progressive_sizes
    if sizes is not None and len(sizes) > epochs:
        changes["progressive_sizes"] = sizes[-epochs:]
    return changes
