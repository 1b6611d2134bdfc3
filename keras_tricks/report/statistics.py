import dataclasses
import math
import statistics

from keras_tricks.report.page import missing_extra


def t_quantile(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t distribution.

    Args:
        degrees: Degrees of freedom, at least 1.

    Returns:
        The 97.5 % point of the distribution, by SciPy.

    Raises:
        ImportError: If SciPy is missing.

    Example:
    >>> round(t_quantile(2), 4)
    4.3027
    """
    try:
        from scipy import stats
    except ImportError as error:
        raise missing_extra(error) from None
    return float(stats.t.ppf(0.975, degrees))


@dataclasses.dataclass(frozen=True)
class Difference:
    """A paired difference between two configurations.

    Attributes:
        mean: Mean of the differences.
        pairs: Number of pairs.
        error: Standard error of the mean, NaN for one pair.
        low: Lower end of the 95 % t-interval, NaN for one pair.
        high: Upper end of it.
    """

    mean: float
    pairs: int
    error: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_difference(values: list, baseline: list) -> Difference:
    """Return the mean of `value - baseline` with its 95 % t-interval.

    `mean ± t * s / sqrt(n)`, where `s` is the standard deviation of the `n`
    differences and `t` the quantile for `n - 1` degrees of freedom.

    Args:
        values: List of floats.
        baseline: List of floats, paired with `values`.

    Returns:
        A `Difference`.

    Raises:
        ImportError: If SciPy is missing and there are two pairs or more.

    Example:
    >>> paired_difference([3.0, 5.0], [1.0, 1.0]).mean
    3.0
    """
    deltas = [a - b for a, b in zip(values, baseline, strict=True)]
    mean = statistics.fmean(deltas)
    if len(deltas) < 2:
        return Difference(mean, len(deltas))
    error = statistics.stdev(deltas) / math.sqrt(len(deltas))
    reach = t_quantile(len(deltas) - 1) * error
    return Difference(mean, len(deltas), error, mean - reach, mean + reach)
