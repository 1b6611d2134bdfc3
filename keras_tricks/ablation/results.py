"""What the runs of a sweep have come to."""

import dataclasses
import statistics
from pathlib import Path

from keras_tricks._untrusted import parse_json
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.report.contrasts import Decision, decide
from keras_tricks.report.run_folder import Run, read_run

FAILED = "failed.json"


@dataclasses.dataclass(frozen=True)
class Results:
    """The complete and the failed runs of a sweep.

    Attributes:
        runs: Complete runs by configuration and seed.
        failed: Why a run failed, by configuration and seed.

    Example:
    >>> Results({}, {("mixup", 0): "NaN"}).is_done("mixup", 0)
    True
    """

    runs: dict[tuple[str, int], Run]
    failed: dict[tuple[str, int], str]

    @property
    def count(self) -> int:
        """Number of runs that are complete or failed."""
        return len(self.runs) + len(self.failed)

    def is_done(self, name: str, seed: int) -> bool:
        """Return whether a run needs no further work."""
        return (name, seed) in self.runs or (name, seed) in self.failed

    def seconds(self) -> dict[str, float]:
        """Return the median seconds of a run by configuration."""
        times: dict[str, list[float]] = {}
        for (name, _), run in self.runs.items():
            times.setdefault(name, []).append(run.result["wall_seconds"])
        return {name: statistics.median(some) for name, some in times.items()}

    def values(
        self, sweep: Sweep, seeds: int | None = None
    ) -> dict[str, dict[int, float]]:
        """Return the metric by configuration and seed.

        Args:
            sweep: The sweep.
            seeds: Look at the first seeds only.
        """
        found: dict[str, dict[int, float]] = {n: {} for n in sweep.recipes}
        for (name, seed), run in sorted(self.runs.items()):
            if _is_among(sweep, name, seed, seeds):
                found[name][seed] = run.last(sweep.metric)
        return found

    def failures(self, sweep: Sweep, seeds: int | None = None) -> dict:
        """Return the number of failed runs by configuration."""
        return {
            name: sum(
                other == name and _is_among(sweep, name, seed, seeds)
                for other, seed in self.failed
            )
            for name in sweep.recipes
        }

    def decisions(self, sweep: Sweep) -> list[Decision]:
        """Return what all runs say about the questions of a sweep."""
        return decide(
            sweep.contrasts,
            self.values(sweep),
            sweep.rule,
            self.failures(sweep),
        )


def _is_among(sweep, name, seed, seeds):
    return seeds is None or seed < sweep.recipes[name].seed + seeds


def read_results(
    sweep: Sweep, folder: Path, known: Results | None = None
) -> Results:
    """Read the run folders of a sweep.

    Args:
        sweep: The sweep.
        folder: Its folder.
        known: What was read before, and is not read again.

    Raises:
        ValueError: If the folder of a complete run is damaged.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe
    >>> from keras_tricks.ablation import make_sweep
    >>> sweep = make_sweep(Recipe.preset("baseline"), ["cosine"])
    >>> read_results(sweep, Path(tempfile.mkdtemp())).count
    0
    """
    runs, failed = {}, {}
    old = {} if known is None else known.runs
    for path in sorted(Path(folder).glob("*_seed*")):
        name, _, seed = path.name.rpartition("_seed")
        if name not in sweep.recipes or not seed.isdigit():
            continue
        key = name, int(seed)
        if key in old:
            runs[key] = old[key]
        elif (path / "result.json").exists():
            runs[key] = read_run(path)
        elif (path / FAILED).exists():
            text = (path / FAILED).read_text("utf-8")
            failed[key] = str(parse_json(text)["error"])
    return Results(runs, failed)
