import dataclasses
import math
import statistics

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622,
    2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009,
    2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518,
    2.0484, 2.0452, 2.0423,
)  # fmt: skip


def t_quantile(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's t distribution.

    A table up to 30 degrees of freedom, then the first terms of its
    expansion around the normal quantile `z`:
    `z + (z^3 + z) / (4 d) + (5 z^5 + 16 z^3 + 3 z) / (96 d^2)`.

    Args:
        degrees: Degrees of freedom, at least 1.

    Returns:
        The quantile, exact to 1e-4.

    Example:
    >>> t_quantile(2)
    4.3027
    """
    if degrees <= len(_T):
        return _T[degrees - 1]
    z = 1.959964
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    )


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
    """Mean of `value - baseline` with its 95 % t-interval.

    `mean ± t * s / sqrt(n)`, where `s` is the standard deviation of the `n`
    differences.

    Args:
        values: List of floats.
        baseline: List of floats, paired with `values`.

    Returns:
        A `Difference`.

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
