"""How long a sweep takes, and what of it fits into a time."""

import dataclasses
import math
import tempfile
import time
from pathlib import Path

import keras

from keras_tricks import training
from keras_tricks.ablation.designs import BAG
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.data import RestOfEpoch
from keras_tricks.recipe import Recipe

_STEPS = 8
# Seeds without which a sweep says nothing, and the share of the epochs that
# is kept at least.
_FEWEST_SEEDS = 3
_SEQUENTIAL_SEEDS = 5
_LEAST_EPOCHS = 1 / 3


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a run takes.

    Args:
        start: Seconds before the first step: data, network, compilation.
        epoch: Seconds of an epoch with its validation.

    Example:
    >>> Cost(start=5.0, epoch=2.0).of(20)
    45.0
    """

    start: float
    epoch: float

    def of(self, epochs: int) -> float:
        """Return the seconds of a run."""
        return self.start + epochs * self.epoch


def measure(recipe: Recipe, steps: int = _STEPS) -> Cost:
    """Time some steps of a recipe, in a folder that is removed.

    Args:
        recipe: The recipe.
        steps: How many batches, of training and of validation.

    Returns:
        Its `Cost`, as far as a few batches tell.

    Raises:
        Exception: As `keras_tricks.training.prepare`.

    Example:
    >>> recipe = Recipe(epochs=4, width=2, train_samples=128)
    >>> cost = measure(recipe, steps=1)
    >>> cost.epoch > 0
    True
    """
    begin = time.perf_counter()
    keras.utils.clear_session()
    with tempfile.TemporaryDirectory() as folder:
        run = training.prepare(recipe, Path(folder) / "run")
        try:
            train = _some(run.stages[0][1], steps)
            test = _some(run.validation_batches, steps)
            options = {"shuffle": False, "verbose": 0}
            run.model.fit(train, validation_data=test, **options)
            middle = time.perf_counter()
            run.model.fit(train, **options)
            seconds = time.perf_counter() - middle
            run.model.evaluate(test, verbose=0)
            checks = time.perf_counter() - middle - seconds
        finally:
            run.lock.release()
        epoch = seconds * run.stages[0][1].num_batches / len(train)
        epoch += checks * run.validation_batches.num_batches / len(test)
    return Cost(max(0.0, middle - begin - seconds - checks), epoch)


def _some(batches, steps):
    return RestOfEpoch(batches, max(0, batches.num_batches - steps))


def measure_sweep(sweep: Sweep, steps: int = _STEPS) -> dict[str, Cost]:
    """Time the first configuration and the one that changes most.

    Returns:
        By configuration; those between the two take the longer of both.
    """
    names = list(sweep.recipes)
    first = dataclasses.asdict(sweep.recipes[names[0]])
    changes = {
        name: sum(
            value != first[field]
            for field, value in dataclasses.asdict(recipe).items()
        )
        for name, recipe in sweep.recipes.items()
    }
    most = max(names, key=lambda name: changes[name])
    costs = {names[0]: measure(sweep.recipes[names[0]], steps)}
    if most != names[0]:
        costs[most] = measure(sweep.recipes[most], steps)
    both = costs[names[0]], costs[most]
    longest = Cost(max(c.start for c in both), max(c.epoch for c in both))
    return {name: costs.get(name, longest) for name in names}


@dataclasses.dataclass(frozen=True)
class Fit:
    """What of a sweep fits into a time.

    Attributes:
        names: Configurations.
        epochs: Of each run.
        seeds: Of each configuration; with a sequential rule the most.
        seconds: What it will take at most.
        said: A sentence on what was made smaller, or "".
    """

    names: tuple[str, ...]
    epochs: int
    seeds: int
    seconds: float
    said: str


def fit_budget(
    costs: dict[str, Cost],
    epochs: int,
    seeds: int,
    budget: float | None,
    sequential: bool = False,
) -> Fit:
    """Choose seeds, epochs and configurations so that a sweep ends in time.

    First there are fewer seeds, three at least; then fewer epochs, a third at
    least; then two seeds; then fewer configurations, from the end, but for the
    first and the whole bag. With a sequential rule, which adds seeds until the
    time is up, five seeds are to fit before epochs are given up.

    Args:
        costs: Of each configuration.
        epochs: What was asked for.
        seeds: Likewise.
        budget: Seconds; `None` for any.
        sequential: Whether seeds are added until questions are decided.

    Returns:
        A `Fit`.

    Raises:
        ValueError: If two configurations do not fit.

    Example:
    >>> costs = {"a": Cost(0.0, 1.0), "b": Cost(0.0, 1.0)}
    >>> fit_budget(costs, epochs=10, seeds=5, budget=70.0).seeds
    3
    """

    def seconds(names, epochs, seeds):
        return seeds * sum(costs[name].of(epochs) for name in names)

    names = tuple(costs)
    whole = seconds(names, epochs, seeds)
    if budget is None or whole <= budget:
        return Fit(names, epochs, seeds, whole, "")
    for some in _fewer(names):
        for length, count in _shorter(epochs, seeds, sequential):
            if seconds(some, length, count) > budget:
                continue
            said = (
                f"{len(names)} configurations, {seeds} seeds of {epochs} "
                f"epochs would take {duration(whole)}; for "
                f"{duration(budget)} there are {len(some)} of {length} epochs"
            )
            if sequential:
                said += ", and seeds until the time is up"
                return Fit(some, length, seeds, budget, said)
            taken = seconds(some, length, count)
            return Fit(some, length, count, taken, f"{said}, {count} seeds")
    least = seconds(some, length, count)
    raise ValueError(
        f"`budget` must be {math.ceil(least)}s or more for {len(some)} "
        f"configurations, {count} seeds of {length} epochs, a third of "
        f"{epochs}: take fewer --epochs or --train_samples, or a smaller "
        f"network. Received: {math.floor(budget)}s are left"
    )


def _fewer(names):
    """Return the names, then fewer and fewer, but for the first and the bag."""
    kept = [names[0], *(name for name in names[1:] if name == BAG)]
    others = [name for name in names if name not in kept]
    for count in range(len(others), -1, -1):
        some = {*kept, *others[:count]}
        if len(some) > 1:
            yield tuple(name for name in names if name in some)


def _shorter(epochs, seeds, sequential):
    """Return pairs of epochs and seeds, each smaller than the one before."""
    least = max(1, round(epochs * _LEAST_EPOCHS))
    fewest = min(_SEQUENTIAL_SEEDS if sequential else _FEWEST_SEEDS, seeds)
    if not sequential:
        yield from ((epochs, count) for count in range(seeds, fewest, -1))
    yield from ((length, fewest) for length in range(epochs, least - 1, -1))
    yield least, min(2, seeds)


def duration(seconds: float) -> str:
    """Return a time as text.

    Example:
    >>> duration(4.2), duration(100), duration(7000), duration(200_000)
    ('4 s', '2 min', '1.9 h', '2.3 days')
    """
    for size, unit, digits in (
        (86_400, "days", 1),
        (3_600, "h", 1),
        (60, "min", 0),
    ):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def read_budget(text: str) -> float:
    """Read a time such as `90s`, `30m`, `2h` or `1.5d`.

    Returns:
        Seconds.

    Raises:
        ValueError: If it is no such time.

    Example:
    >>> read_budget("2h")
    7200.0
    """
    sizes = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        seconds = float(text[:-1]) * sizes[text[-1:]]
    except (KeyError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(
            "`budget` must be a time such as 90s, 30m, 2h or 1.5d. "
            f"Received: {text!r}"
        )
    return seconds
