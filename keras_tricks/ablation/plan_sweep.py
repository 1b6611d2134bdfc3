"""What a sweep will be, before its first run: length, seeds, rates."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks._lock import FolderLock
from keras_tricks._untrusted import parse_json
from keras_tricks.ablation.cost import duration, fit_budget, measure_sweep
from keras_tricks.ablation.run_sweep import CLAIMS
from keras_tricks.ablation.sweep import (
    SWEEP,
    Sweep,
    only,
    whole_bag,
    with_rates,
)
from keras_tricks.ablation.tune import FACTORS, check_tunable, tune

_PLAN = "plan.json"
# Trials of `tune` in runs of the whole length: 5/4 + 2/2 + 1, rounded up.
_TRIALS = 3.25


@dataclasses.dataclass(frozen=True)
class PlannedSweep:
    """A sweep that can start.

    Attributes:
        sweep: The sweep, with tuned rates.
        seeds: Number of seeds.
        expected: Seconds of a run by configuration, as far as known.
    """

    sweep: Sweep
    seeds: int
    expected: dict[str, float]


def plan_sweep(
    make: Callable[[int], Sweep],
    folder: Path,
    epochs: int,
    seeds: int,
    budget: float | None = None,
    tuned: bool = False,
    factors: tuple[float, ...] = FACTORS,
    say: Callable[[str], None] = print,
) -> PlannedSweep:
    """Time some steps, choose what fits into the budget, tune the rates.

    What was chosen is in plan.json: a sweep that goes on, or another process
    on the same folder, takes it from there; with other `seeds` or another
    `budget` it has all the seeds that are asked for, as far as the time goes.

    Args:
        make: Returns the sweep for a number of epochs.
        folder: Of the sweep.
        epochs: What was asked for.
        seeds: Likewise.
        budget: Seconds for all of it; `None` for any.
        tuned: Whether the peak rates of baseline and bag are tuned.
        factors: See `tune`.
        say: Takes lines.

    Returns:
        A `PlannedSweep`.

    Raises:
        ValueError: If the budget is too small, or the folder is that of
            another sweep.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe
    >>> from keras_tricks.ablation import make_sweep
    >>> def make(epochs):
    ...     base = Recipe.preset(
    ...         "baseline", epochs=epochs, batch_size=64, width=2
    ...     )
    ...     return make_sweep(base, ["cosine"])
    >>> plan = plan_sweep(
    ...     make, tempfile.mkdtemp(), epochs=4, seeds=2, say=lambda line: None
    ... )
    >>> plan.seeds, list(plan.expected)
    (2, ['baseline', 'cosine'])
    """
    folder = Path(folder)
    with _waiting(FolderLock(folder / CLAIMS / "plan", "folder")):
        path = folder / _PLAN
        asked = {"epochs": epochs, "tuned": list(factors) if tuned else None}
        plan = {}
        if path.exists():
            plan = parse_json(path.read_text("utf-8"))
        if tuned:
            check_tunable(next(iter(make(epochs).recipes.values())))
        if plan.get("asked") != asked:
            if (folder / SWEEP).exists():  # Refused here, if it is another.
                make(epochs).save(folder)
            say("Timing some steps ...")
            chosen = _choose(make(epochs), epochs, seeds, budget, tuned)
            plan = {"asked": asked, **chosen}
            say(plan["said"])
            write_atomically(path, json.dumps(plan, indent=1) + "\n")
        elif [plan["wanted"], plan["budget"]] != [seeds, budget]:
            # Of another start: all of its seeds, as far as the time goes.
            plan |= {"seeds": seeds, "wanted": seeds, "budget": budget}
        sweep = only(make(plan["epochs"]), plan["names"])
        notes = [plan["shortened"]] if plan["shortened"] else []
        if tuned and "rates" not in plan:
            first = next(iter(sweep.recipes.values()))
            ends = {"baseline": first, "whole_bag": whole_bag(sweep)}
            found = {
                name: tune(recipe, name, folder / "tuning", factors, say)
                for name, recipe in ends.items()
            }
            plan["rates"] = {
                name: one.base_learning_rate for name, one in found.items()
            }
            plan["tuned"] = [one.said for one in found.values()]
        if tuned:
            sweep = with_rates(
                sweep, plan["rates"]["baseline"], plan["rates"]["whole_bag"]
            )
            notes += plan["tuned"]
        sweep = dataclasses.replace(sweep, notes=(*sweep.notes, *notes))
        sweep.save(folder)
        write_atomically(path, json.dumps(plan, indent=1) + "\n")
    return PlannedSweep(sweep, plan["seeds"], plan["expected"])


def _choose(sweep, epochs, seeds, budget, tuned):
    """Return epochs and seeds that fit, and what to say of them."""
    costs = measure_sweep(sweep)
    trials = 0.0
    if tuned:
        ends = list(costs.values())
        trials = _TRIALS * (ends[0].of(epochs) + ends[-1].of(epochs))
    left = None if budget is None else max(0.0, budget - trials)
    rule = sweep.rule
    fit = fit_budget(costs, epochs, seeds, left, rule.sequential)
    runs = fit.seeds * len(fit.names)
    most = "at most " if rule.sequential else ""
    said = (
        f"{len(fit.names)} configurations, {most}{fit.seeds} seeds of "
        f"{fit.epochs} epochs: {most}{runs} runs, about "
        f"{duration(fit.seconds + trials)}"
    )
    if fit.said:
        said += f" ({fit.said})"
    return {
        "names": list(fit.names),
        "epochs": fit.epochs,
        "seeds": fit.seeds,
        "wanted": seeds,
        "budget": budget,
        "shortened": fit.said and f"To keep to the budget: {fit.said}.",
        "said": said,
        "expected": {n: cost.of(fit.epochs) for n, cost in costs.items()},
    }


class _waiting:
    """Waits for a lock that another process has."""

    def __init__(self, lock):
        self.lock = lock

    def __enter__(self):
        while True:
            try:
                return self.lock.acquire()
            except ValueError:
                time.sleep(1.0)

    def __exit__(self, *error):
        self.lock.release()
