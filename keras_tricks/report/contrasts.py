"""Differences between configurations, seed by seed, and what they decide."""

import dataclasses
import functools
import math

from keras_tricks._checks import check_real
from keras_tricks.report import sequential
from keras_tricks.report.statistics import (
    Difference,
    bootstrap_interval,
    holm,
    mean_difference,
    seeds_needed,
)

HELPS, HURTS = "helps", "hurts"
SMALL, OPEN, UNSTABLE = "too small to matter", "no evidence", "unstable"


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A question: a sum of configurations with signs.

    Args:
        name: What is asked about, a trick mostly.
        weights: Dict of the name of a configuration to its factor; the
            factors add up to 0.

    Raises:
        ValueError: If they do not.

    Example:
    >>> Contrast("cosine", {"cosine": 1, "baseline": -1}).of(
    ...     {"cosine": {0: 0.75}, "baseline": {0: 0.5, 1: 0.5}}
    ... )
    {0: 0.25}
    """

    name: str
    weights: dict[str, int]

    def __post_init__(self):
        if sum(self.weights.values()) or len(self.weights) < 2:
            raise ValueError(
                "`weights` must be of two or more configurations and add up "
                f"to 0. Received: weights={self.weights}"
            )

    def of(self, values: dict[str, dict[int, float]]) -> dict[int, float]:
        """Return the difference of each seed that all of it has.

        Args:
            values: By configuration, the value of each seed.
        """
        common = set.intersection(
            *(set(values.get(name, {})) for name in self.weights)
        )
        return {
            seed: math.fsum(
                factor * values[name][seed]
                for name, factor in self.weights.items()
            )
            for seed in sorted(common)
        }


def versus(name: str, treated: str, control: str) -> Contrast:
    """Return the contrast of one configuration with another.

    Example:
    >>> versus("mixup", "mixup", "baseline").weights
    {'mixup': 1, 'baseline': -1}
    """
    return Contrast(name, {treated: 1, control: -1})


@dataclasses.dataclass(frozen=True)
class Rule:
    """How differences become decisions.

    Args:
        level: How often a table without any effect may decide on one.
        smallest_effect: What is too small to matter, in units of the metric.
        sequential: Whether one looks after each seed: then p-values and
            intervals are those of `report.sequential`, not of Student's t.
        higher_is_better: Whether the metric is to grow.
        power: Of `seeds_needed`.

    Raises:
        ValueError: If a number is out of its range.

    Example:
    >>> Rule(smallest_effect=0.005).level
    0.05
    """

    level: float = 0.05
    smallest_effect: float = 0.0
    sequential: bool = False
    higher_is_better: bool = True
    power: float = 0.8

    def __post_init__(self):
        for name in ("level", "power"):
            value = getattr(self, name)
            check_real(name, value, 0, 1, open_low=True, open_high=True)
        check_real("smallest_effect", self.smallest_effect, 0)


@dataclasses.dataclass(frozen=True)
class Decision:
    """What the seeds say about a contrast.

    Attributes:
        contrast: The question.
        difference: Its mean over the seeds, with the t-interval.
        deltas: The difference of each seed.
        low: Lower end of the interval that decides, of 1 - level.
        high: Upper end of it.
        p_value: Of this question alone.
        corrected: By Holm, for the number of questions.
        verdict: `"helps"`, `"hurts"`, `"too small to matter"`,
            `"no evidence"`, or `"unstable"` where a run of it has failed.
        seeds: How many seeds would show the difference that is seen, or the
            smallest that matters if that is larger; `None` if thousands would
            not, or it is decided.
        failed: Number of its runs that failed.

    Example:
    >>> values = {"a": {0: 0.75, 1: 0.75}, "b": {0: 0.5, 1: 0.5}}
    >>> decision, = decide([versus("a", "a", "b")], values, Rule())
    >>> decision.difference.mean, decision.verdict
    (0.25, 'no evidence')
    """

    contrast: Contrast
    difference: Difference | None
    deltas: dict[int, float]
    low: float
    high: float
    p_value: float
    corrected: float
    verdict: str
    seeds: int | None
    failed: int

    @functools.cached_property
    def bootstrap(self) -> tuple[float, float]:
        """An interval that assumes no distribution, NaN below ten seeds."""
        return bootstrap_interval(list(self.deltas.values()))


def decide(
    contrasts: list[Contrast],
    values: dict[str, dict[int, float]],
    rule: Rule,
    failed: dict[str, int] | None = None,
) -> list[Decision]:
    """Decide all questions of a table at once.

    A trick helps where Holm's corrected p-value is below the level and the
    difference is to the better. Its difference is too small to matter where
    the interval is within +-`smallest_effect`. Otherwise there is no
    evidence, which is not the evidence that it does nothing.

    Args:
        contrasts: The questions.
        values: By configuration, the metric of each seed.
        rule: The `Rule`.
        failed: By configuration, how many of its runs failed.

    Returns:
        A `Decision` for each contrast.

    Example:
    >>> values = {
    ...     "a": {0: 0.91, 1: 0.92, 2: 0.94},
    ...     "b": {0: 0.81, 1: 0.81, 2: 0.84},
    ... }
    >>> decide([versus("a", "a", "b")], values, Rule())[0].verdict
    'helps'
    """
    failed = failed or {}
    all_deltas = [contrast.of(values) for contrast in contrasts]
    weighed = [_weigh(list(d.values()), rule) for d in all_deltas]
    corrected = holm([p_value for _, _, _, p_value in weighed])
    decisions = []
    for contrast, deltas, found, p in zip(
        contrasts, all_deltas, weighed, corrected, strict=True
    ):
        difference, low, high, p_value = found
        failures = sum(failed.get(name, 0) for name in contrast.weights)
        verdict = UNSTABLE
        if not failures:
            verdict = _verdict(difference, low, high, p, rule)
        decisions.append(
            Decision(
                contrast,
                difference,
                deltas,
                low,
                high,
                p_value,
                p,
                verdict,
                _more_seeds(difference, verdict, len(contrasts), rule),
                failures,
            )
        )
    return decisions


def _weigh(deltas, rule):
    """Return the difference, the interval that decides, and its p-value."""
    if not deltas:
        return None, math.nan, math.nan, math.nan
    difference = mean_difference(deltas, rule.level)
    if rule.sequential:
        found = sequential.weigh(deltas, rule.level)
        return difference, found.low, found.high, found.p_value
    low, high = difference.low, difference.high
    return difference, low, high, difference.p_value


def _verdict(difference, low, high, corrected, rule):
    if difference is None:
        return OPEN
    least = rule.smallest_effect
    if difference.error > 0 and -least <= low and high <= least:
        return SMALL
    if corrected < rule.level:
        better = (difference.mean > 0) == rule.higher_is_better
        return HELPS if better else HURTS
    return OPEN


def _more_seeds(difference, verdict, count, rule):
    if verdict != OPEN or difference is None or not difference.error > 0:
        return None
    effect = max(abs(difference.mean), rule.smallest_effect)
    if effect == 0:
        return None
    # Holm's first step, which is the hardest.
    level = rule.level / count
    return seeds_needed(
        difference.deviation,
        effect,
        level,
        rule.power,
        sequential=rule.sequential,
    )
