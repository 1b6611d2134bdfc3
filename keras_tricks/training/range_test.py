"""A range test: with which learning rate a recipe could be trained."""

import csv
import dataclasses
import io
import itertools
import math
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_tricks import _checks
from keras_tricks._files import write_atomically
from keras_tricks.recipe import Recipe
from keras_tricks.report.range_report import write_range_report
from keras_tricks.schedules import ExponentialRange
from keras_tricks.training.run import prepare

# The usual range of peak rates, of SGD and of adaptive optimizers.
LOW, HIGH = 1e-5, 10.0
_SMOOTHING = 0.9
# A loss that has grown so many times is lost.
_DIVERGED = 4.0
# Rates above the best of a short rise do not hold for long.
_SAFETY = 10.0


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Attributes:
        rates: Learning rate of each step, as the optimizer had it.
        losses: Training loss of each step's batch.
        smoothed: See `smooth_losses`.
        suggested: The rate that `suggest_rate` takes.
        base_learning_rate: The same as the field of `Recipe`.

    Example:
    >>> rates = np.float64([0.01, 0.1, 1.0])
    >>> test = RangeTest(rates, rates, rates, 0.001, 0.004)
    >>> len(test.rates)
    3
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggested: float
    base_learning_rate: float


def smooth_losses(losses: np.ndarray, decay: float = _SMOOTHING) -> np.ndarray:
    """Average a loss over the steps before, those long ago with less weight.

    Formula: `m = decay m + (1 - decay) loss`, divided by `1 - decay^step`,
    so that the start counts no more than it should.

    Example:
    >>> smooth_losses(np.float64([2.0, 2.0]))
    array([2., 2.])
    """
    means = itertools.accumulate(
        losses, lambda m, loss: decay * m + (1 - decay) * loss, initial=0.0
    )
    sums = np.fromiter(means, "float64")[1:]
    return sums / (1 - decay ** np.arange(1, len(sums) + 1))


def suggest_rate(rates: np.ndarray, smoothed: np.ndarray) -> float:
    """Return a tenth of the rate at which the smoothed loss is lowest.

    Args:
        rates: Rising learning rates.
        smoothed: The smoothed loss at each of them.

    Raises:
        ValueError: If the loss never fell.

    Example:
    >>> suggest_rate([0.01, 0.1, 1.0, 10.0], [2.3, 2.0, 1.5, 9.0])
    0.1
    """
    smoothed = np.asarray(smoothed, "float64")
    best = int(np.nanargmin(smoothed))
    if best == 0:
        raise ValueError(
            "The loss must fall somewhere in the range. Received: "
            f"{smoothed[0]:.4g} at the lowest rate, {rates[0]:.3g}, and "
            "never less"
        )
    return float(rates[best]) / _SAFETY


class _Record(keras.callbacks.Callback):
    """Keeps the loss of each batch, and stops when it is lost or at the end."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.losses: list[float] = []
        self._mean = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._mean, self._count = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        # Keras' loss is the mean of the epoch so far.
        mean = float((logs or {})["loss"])
        total = mean * (self._count + 1)
        self.losses.append(total - self._mean * self._count)
        self._mean, self._count = mean, self._count + 1
        lowest = np.min(smooth_losses(self.losses))
        lost = not self.losses[-1] <= _DIVERGED * lowest
        if lost or len(self.losses) == self.steps:
            self.model.stop_training = True


def find_learning_rate(
    recipe: Recipe,
    folder: str | Path,
    steps: int = 100,
    low: float = LOW,
    high: float = HIGH,
    verbose: int | str = "auto",
) -> RangeTest:
    """Train a few steps with a rising rate, and say which one to take.

    The rate rises by equal factors from `low` to `high`; the test ends early
    when the loss has grown fourfold or is no number. What is suggested is a
    tenth of the rate with the lowest smoothed loss: a place to begin from, not
    the best rate, which `keras_tricks.ablation.tune` looks for with whole
    runs.

    Args:
        recipe: The recipe; its schedule and warmup are not used.
        folder: Gets learning_rate.csv and learning_rate.html; made if it
            does not exist.
        steps: Number of updates.
        low: First rate.
        high: Last rate.
        verbose: As of `fit`.

    Returns:
        A `RangeTest`.

    Raises:
        ValueError: If an argument is outside its range, or the loss never
            fell.
        Exception: As `keras_tricks.training.prepare`.

    Example:
    >>> recipe = Recipe(epochs=1, warmup_epochs=0, width=2, train_samples=640)
    >>> test = find_learning_rate(
    ...     recipe, tempfile.mkdtemp(), steps=20, verbose=0
    ... )
    >>> 1e-6 <= test.suggested <= 1
    True

    Reference:
        - [Smith, 2015](https://arxiv.org/abs/1506.01186), section 3.3
    """
    schedule = ExponentialRange(low, high, _checks.check_int("steps", steps, 8))
    parts = recipe.gradient_accumulation_steps
    record = _Record(steps * parts)
    with tempfile.TemporaryDirectory() as temporary:
        run = prepare(recipe, Path(temporary) / "run", schedule=schedule)
        try:
            run.model.fit(
                run.stages[0][1],
                epochs=math.ceil(record.steps / len(run.stages[0][1])),
                shuffle=False,
                verbose=verbose,
                callbacks=[record],
            )
        finally:
            run.lock.release()
    # One loss for each update.
    losses = np.asarray(record.losses)[: len(record.losses) // parts * parts]
    losses = losses.reshape(-1, parts).mean(axis=1)
    rates = np.asarray([float(schedule(i)) for i in range(len(losses))])
    finite = np.isfinite(losses)
    rates, losses = rates[finite], losses[finite]
    smoothed = smooth_losses(losses)
    suggested = suggest_rate(rates, smoothed)
    scale = recipe.learning_rate / recipe.base_learning_rate
    found = RangeTest(rates, losses, smoothed, suggested, suggested / scale)
    _write(found, recipe, Path(folder))
    return found


def _write(found, recipe, folder):
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["learning_rate", "loss", "smoothed"])
    rows = zip(found.rates, found.losses, found.smoothed, strict=True)
    writer.writerows(rows)
    write_atomically(folder / "learning_rate.csv", text.getvalue())
    best = found.rates[int(np.nanargmin(found.smoothed))]
    write_range_report(
        folder,
        found.rates,
        found.losses,
        found.smoothed,
        found.suggested,
        [
            (
                "base_learning_rate",
                f"{found.base_learning_rate:.2g}",
                "for a batch of 256",
            ),
            (
                "learning rate",
                f"{found.suggested:.2g}",
                f"batches of {recipe.batch_size}",
            ),
            ("lowest loss at", f"{best:.2g}", "ten times as much"),
        ],
    )
