"""What a difference over seeds says: intervals, tests, how many seeds."""

import dataclasses
import functools
import math
import statistics

import numpy as np

from keras_tricks.report.page import missing_extra
from keras_tricks.report.sequential import reach


def t_quantile(degrees: int, level: float = 0.05) -> float:
    """Return the two-sided quantile of Student's t distribution.

    Args:
        degrees: Degrees of freedom, at least 1.
        level: What is beyond it on both sides. Defaults to 5 %.

    Returns:
        The 1 - level / 2 point of the distribution, by SciPy.

    Raises:
        ImportError: If SciPy is missing.

    Example:
    >>> round(t_quantile(2), 4)
    4.3027
    """
    return float(_scipy().t.ppf(1 - level / 2, degrees))


def _scipy():
    try:
        from scipy import stats
    except ImportError as error:
        raise missing_extra(error) from None
    return stats


@dataclasses.dataclass(frozen=True)
class Difference:
    """A paired difference between two configurations.

    Attributes:
        mean: Mean of the differences.
        pairs: Number of pairs.
        error: Standard error of the mean, NaN for one pair.
        low: Lower end of the t-interval, NaN for one pair.
        high: Upper end of it.
        p_value: Of the two-sided t test against 0, NaN for one pair. Where
            all differences are the same number but 0, t says nothing: that of
            the sign test.
    """

    mean: float
    pairs: int
    error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the differences, NaN for one pair."""
        return self.error * math.sqrt(self.pairs)


def mean_difference(deltas: list, level: float = 0.05) -> Difference:
    """Return the mean of paired differences with its t-interval.

    `mean ± t * s / sqrt(n)`, where `s` is the standard deviation of the `n`
    differences and `t` the quantile for `n - 1` degrees of freedom.

    Args:
        deltas: List of floats, at least one.
        level: How often the interval leaves out the mean.

    Returns:
        A `Difference`.

    Raises:
        ImportError: If SciPy is missing and there are two or more.

    Example:
    >>> mean_difference([1.0, 2.0, 3.0]).mean
    2.0
    """
    count, mean = len(deltas), statistics.fmean(deltas)
    if count < 2:
        return Difference(mean, count)
    error = statistics.stdev(deltas) / math.sqrt(count)
    reach = t_quantile(count - 1, level) * error
    if error > 0:
        p_value = 2 * float(_scipy().t.sf(abs(mean) / error, count - 1))
    else:
        p_value = 2.0 ** (1 - count) if mean else 1.0
    return Difference(mean, count, error, mean - reach, mean + reach, p_value)


def bootstrap_interval(deltas: list, level: float = 0.95) -> tuple:
    """Return a bootstrap interval of a mean, which assumes no distribution.

    It is bias-corrected and accelerated (BCa), of 9,999 resamples that are
    the same each time. Below ten values it is too narrow.

    Args:
        deltas: List of floats.
        level: How often it is to hold the mean.

    Returns:
        Its ends; NaN below ten values or where all are the same.

    Example:
    >>> low, high = bootstrap_interval([float(x) for x in range(11)])
    >>> low < 5 < high
    True

    Reference:
        - [Efron, 1987](https://doi.org/10.1080/01621459.1987.10478410)
    """
    if len(deltas) < 10 or len(set(deltas)) == 1:
        return math.nan, math.nan
    found = _scipy().bootstrap(
        (np.asarray(deltas, "float64"),),
        np.mean,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    interval = found.confidence_interval
    return float(interval.low), float(interval.high)


def holm(p_values: list) -> list:
    """Correct p-values for their number.

        p'_(i) = max_(j <= i) min(1, (m - j + 1) p_(j)),   p_(1) <= p_(2) ...

    so that at most the share `level` of such tables has a single p' below
    `level` by chance.

    Args:
        p_values: List of floats; NaN stays NaN and is not counted.

    Returns:
        The corrected ones, in the same order.

    Example:
    >>> holm([0.25, 0.5, 0.125])
    [0.5, 0.5, 0.375]

    Reference:
        - Holm, 1979, "A simple sequentially rejective multiple test
          procedure"
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected, highest = list(p_values), 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[index] = highest
    return corrected


@functools.cache
def seeds_needed(
    deviation: float,
    effect: float,
    level: float = 0.05,
    power: float = 0.8,
    most: int = 10_000,
    sequential: bool = False,
) -> int | None:
    """Return how many seeds show an effect by the paired t test.

    Or by the sequential rule: then the bound on t is
    `report.sequential.reach` at the last of the seeds. Looks before it can
    only find more.

    Args:
        deviation: Standard deviation of the differences.
        effect: The difference that is to be found, not 0.
        level: Of the two-sided test.
        power: Probability to find it.
        most: Where to give up.
        sequential: Whether one looks after each seed.

    Returns:
        The smallest number, at least 2, or `None` if it is above `most`.

    Example:
    >>> seeds_needed(deviation=1.0, effect=1.0)
    10
    >>> seeds_needed(deviation=1.0, effect=1.0, sequential=True)
    20
    """
    stats = _scipy()

    def is_enough(count):
        shift = abs(effect) / deviation * math.sqrt(count)
        bound = stats.t.ppf(1 - level / 2, count - 1)
        if sequential:
            bound = reach(count, level)
        if math.isinf(bound):
            return False
        found = stats.nct.sf(bound, count - 1, shift)
        # Far out in its tail SciPy gives NaN, where it is 1.
        return math.isnan(found) or found >= power

    if deviation == 0:
        return 2
    low, high = 1, 2
    while not is_enough(high):
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def variance_components(values: list, groups: list) -> tuple[float, float]:
    """Split a variance into that between groups and that within them.

    By the mean squares of a one-way analysis of variance with groups of any
    sizes, where n = (N - sum n_j^2 / N) / (k - 1):

        within = MS_within,   between = max(0, (MS_between - MS_within) / n)

    Args:
        values: List of floats.
        groups: Name of the group of each, such as the seed of a data split.

    Returns:
        The variances between and within; NaN where there are too few.

    Example:
    >>> variance_components([0.0, 2.0, 4.0, 6.0], ["a", "a", "b", "b"])
    (7.0, 2.0)

    Reference:
        - Searle, Casella and McCulloch, 1992, "Variance Components",
          section 3.6
    """
    members: dict = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    total, count = len(values), len(members)
    if total == count:
        return math.nan, math.nan
    means = {group: statistics.fmean(some) for group, some in members.items()}
    inside = math.fsum(
        (value - means[group]) ** 2
        for group, some in members.items()
        for value in some
    ) / (total - count)
    if count < 2:
        return math.nan, inside
    mean = statistics.fmean(values)
    outside = math.fsum(
        len(some) * (means[group] - mean) ** 2
        for group, some in members.items()
    ) / (count - 1)
    squares = sum(len(some) ** 2 for some in members.values())
    size = (total - squares / total) / (count - 1)
    return max(0.0, (outside - inside) / size), inside
