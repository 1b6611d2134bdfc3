"""Trains the runs of a sweep: none twice, none lost, several at a time."""

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import keras

from keras_tricks import training
from keras_tricks._checks import check_int
from keras_tricks._files import write_atomically
from keras_tricks._lock import FolderLock
from keras_tricks.ablation.cost import duration
from keras_tricks.ablation.results import FAILED, Results, read_results
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.recipe import Recipe
from keras_tricks.report.contrasts import OPEN, decide
from keras_tricks.report.metric_text import metric_name
from keras_tricks.training.run_folder import check_same

# How often a process looks whether another one has finished a run.
_PATIENCE = 2.0
CLAIMS = ".claims"


@dataclasses.dataclass(frozen=True)
class Ask:
    """A run that is to be done.

    Attributes:
        name: Its configuration.
        seed: Its seed.
        recipe: What is trained.
        folder: Where.
    """

    name: str
    seed: int
    recipe: Recipe
    folder: Path


class Budget:
    """Seconds that a sweep may take, and what its runs took so far.

    Args:
        seconds: In all; `None` for any.
        expected: Seconds of a run by configuration, as far as known; those
            of complete runs replace them.

    Example:
    >>> budget = Budget(None, {"baseline": 60.0})
    >>> budget.of("cosine"), budget.allows("cosine")
    (60.0, True)
    """

    def __init__(
        self,
        seconds: float | None = None,
        expected: dict[str, float] | None = None,
    ):
        self.expected = dict(expected or {})
        # Of a run, what is not training: data, network, the report.
        self.beside: float | None = None
        self.end = None if seconds is None else time.monotonic() + seconds

    def learn(self, seconds: dict[str, float]) -> None:
        """Take the seconds of training of complete runs, by configuration."""
        for name, own in seconds.items():
            if self.beside is not None:
                self.expected[name] = own + self.beside
            else:  # Of another process.
                self.expected[name] = max(own, self.expected.get(name, 0.0))

    def of(self, name: str) -> float | None:
        """Return the seconds of a run, `None` if no run is known."""
        if name in self.expected:
            return self.expected[name]
        known = list(self.expected.values())
        return statistics.fmean(known) if known else None

    def allows(self, name: str) -> bool:
        """Return whether a run would end in time, as far as is known."""
        if self.end is None:
            return True
        return time.monotonic() + (self.of(name) or 0.0) <= self.end

    def left(self, names: Iterable[str]) -> float | None:
        """Return the seconds of runs, `None` if no run is known."""
        seconds = [self.of(name) for name in names]
        if None in seconds:
            return None
        return float(sum(filter(None, seconds)))


def run_folder(folder: Path, name: str, seed: int) -> Path:
    """Return the folder of a run of a sweep.

    Example:
    >>> run_folder(Path("runs/ablation"), "cosine", 2).name
    'cosine_seed2'
    """
    return Path(folder) / f"{name}_seed{seed}"


def asks(sweep: Sweep, folder: Path, seeds: int, results: Results) -> list[Ask]:
    """Return the runs to be done now, in their order.

    With a sequential rule it is a round of seed after seed: a round begins
    when the one before is complete, and has the configurations of the
    questions that are open by then. So what is run depends on results alone,
    not on the order in which processes came to them.

    Args:
        sweep: The sweep.
        folder: Its folder.
        seeds: Number of seeds, with a sequential rule the largest.
        results: What is done.

    Returns:
        A list of `Ask`; empty if the sweep is complete.
    """
    for count in range(1, seeds + 1):
        names = list(sweep.recipes)
        if sweep.rule.sequential and count > 1:
            names = open_configurations(sweep, results, count - 1)
        first = 0 if not sweep.rule.sequential else count - 1
        last = seeds if not sweep.rule.sequential else count
        missing = [
            _ask(sweep, folder, name, index)
            for index in range(first, last)
            for name in names
            if not results.is_done(name, sweep.recipes[name].seed + index)
        ]
        if missing or not sweep.rule.sequential:
            return missing
    return []


def _ask(sweep, folder, name, index):
    recipe = sweep.recipe(name, index)
    return Ask(name, recipe.seed, recipe, run_folder(folder, name, recipe.seed))


def open_configurations(
    sweep: Sweep, results: Results, count: int
) -> list[str]:
    """Return the configurations of questions that some seeds leave open."""
    decisions = decide(
        sweep.contrasts,
        results.values(sweep, count),
        sweep.rule,
        results.failures(sweep, count),
    )
    wanted = {
        name
        for decision in decisions
        if decision.verdict == OPEN
        for name in decision.contrast.weights
    }
    return [name for name in sweep.recipes if name in wanted]


def run_sweep(
    sweep: Sweep,
    folder: Path,
    seeds: int,
    budget: Budget | None = None,
    shard: tuple[int, int] = (0, 1),
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list,
    say: Callable[[str], None] = print,
) -> bool:
    """Train all runs of a sweep that are not complete.

    Several processes, on several machines if they share the folder, may do
    it at once: who has the lock of a run's claim trains it, and the lock of
    one that dies goes with it. An interrupted run continues where it was.
    A run that diverges is kept, with failed.json, and not tried again.

    Args:
        sweep: The sweep.
        folder: Its folder.
        seeds: Number of seeds, with a sequential rule the largest.
        budget: Time to keep to.
        shard: Number of this process, from 0, and of all: where in the list
            it begins. It helps the others when its part is done.
        callbacks: Returns further callbacks for a run.
        say: Takes a line for each run.

    Returns:
        Whether the sweep is complete; it is not if the time ran out.

    Raises:
        ValueError: If the folder is that of another sweep, a number is out of
            its range, or the folder of a run holds that of another recipe.

    Example:
    >>> import tempfile
    >>> from keras_tricks.ablation import make_sweep
    >>> base = Recipe.preset(
    ...     "baseline", epochs=1, batch_size=64, width=2, train_samples=64
    ... )
    >>> sweep = make_sweep(base, ["label_smoothing"])
    >>> said = []
    >>> run_sweep(sweep, tempfile.mkdtemp(), seeds=1, say=said.append)
    True
    >>> said[0]
    '[1/2] baseline, seed 0'
    """
    check_int("seeds", seeds, 1)
    index, count = shard
    check_int("shard", index, 0, count - 1)
    folder, budget = Path(folder), budget or Budget()
    sweep.save(folder)
    results = read_results(sweep, folder)
    _check_backend(results, folder)
    while True:
        results = read_results(sweep, folder, results)
        todo = asks(sweep, folder, seeds, results)
        if not todo:
            # Of processes that died; nobody needs a claim any more.
            shutil.rmtree(folder / CLAIMS, ignore_errors=True)
            return True
        budget.learn(results.seconds())
        start = len(todo) * index // count
        if not any(budget.allows(ask.name) for ask in todo):
            say("The time is up: the rest is left out")
            return False
        for ask in todo[start:] + todo[:start]:
            if budget.allows(ask.name) and _claim_and_train(
                ask, sweep, folder, seeds, budget, callbacks, say, results
            ):
                break
        else:
            time.sleep(_PATIENCE)  # All are in the work of others.


def _claim_and_train(
    ask, sweep, folder, seeds, budget, callbacks, say, results
):
    """Return whether the run was done, or need not be any more."""
    # Not the lock of the run itself, which is gone when it ends.
    lock = FolderLock(folder / CLAIMS / ask.folder.name, "folder")
    try:
        lock.acquire()
    except ValueError:
        return False
    try:
        results = read_results(sweep, folder, results)
        if results.is_done(ask.name, ask.seed):
            return True
        todo = asks(sweep, folder, seeds, results)
        say(_line(ask, todo, results, budget))
        _train(ask, callbacks, say, budget)
    finally:
        lock.release()
    return True


def _line(ask, todo, results, budget):
    left = budget.left(one.name for one in todo)
    time_left = "" if left is None else f", about {duration(left)} left"
    done = results.count
    return (
        f"[{done + 1}/{done + len(todo)}] {ask.name}, seed {ask.seed}"
        f"{time_left}"
    )


def _check_backend(results, folder):
    own = keras.backend.backend()
    for run in results.runs.values():
        other = run.result.get("backend", own)
        if other != own:
            raise ValueError(
                "`folder` must hold runs of one backend. Received: "
                f"folder={str(folder)!r} with runs of {other}: set "
                f"KERAS_BACKEND={other}, or name another --folder"
            )


def _train(ask, callbacks, say, budget):
    start = time.perf_counter()
    keras.utils.clear_session()  # Frees the models of the runs before.
    if (ask.folder / "recipe.json").exists():
        check_same(ask.recipe, ask.folder)
    run = training.prepare(ask.recipe, ask.folder)
    try:
        result = run.fit(verbose=0, extra_callbacks=callbacks())
    except FloatingPointError as error:
        write_atomically(
            ask.folder / FAILED,
            json.dumps({"error": str(error)}, indent=1) + "\n",
        )
        say(f"  failed: {error}")
        return
    seconds = time.perf_counter() - start
    budget.beside = seconds - result["wall_seconds"]
    measure = ask.recipe.measure
    say(f"  {metric_name(measure)} {result[measure]:.2%}, {duration(seconds)}")
