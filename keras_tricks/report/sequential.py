"""A test that may be looked at after every seed."""

import dataclasses
import math
import statistics

PRIOR_VARIANCE = 2.0
"""Variance of the effect over its standard deviation, before any seed."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What differences say that were looked at one after the other.

    Attributes:
        p_value: Smallest 1 / B of all looks, at most 1.
        low: Lower end of the confidence sequence, -inf while it is open.
        high: Upper end of it.
    """

    p_value: float
    low: float
    high: float


def bayes_factor(
    count: int, t: float, prior_variance: float = PRIOR_VARIANCE
) -> float:
    """Weigh an effect against none, by Student's t of n differences.

    With the effect over the standard deviation ~ N(0, g) and the right Haar
    prior on the standard deviation:

        B = (1 + n g)^(-1/2) * ((1 + t^2 / (n - 1))
            / (1 + t^2 / ((n - 1) (1 + n g))))^(n / 2)

    As a sequence in n it is a martingale under no effect, whatever the
    variance: it passes 1 / a with a probability of at most a, however often
    one looks. That is what a t test after each seed does not hold.

    Args:
        count: n, the number of differences; 1 for B = 1.
        t: Mean over standard error.
        prior_variance: g.

    Returns:
        B.

    Example:
    >>> round(bayes_factor(10, 4.0), 1)
    24.0

    Reference:
        - Lai, 1976, "On Confidence Sequences"
        - [Hendriksen, de Heide and Grünwald,
          2021](https://doi.org/10.1214/20-BA1234)
        - [Wang and Ramdas, 2023](https://arxiv.org/abs/2310.03722)
    """
    if count < 2:
        return 1.0
    growth = 1 + count * prior_variance
    if math.isinf(t):
        ratio = math.log(growth)
    else:
        square = t**2 / (count - 1)
        ratio = math.log1p(square) - math.log1p(square / growth)
    # Far beyond what is asked for, and no float.
    return math.exp(min(0.5 * count * ratio - 0.5 * math.log(growth), 700.0))


def reach(
    count: int, level: float, prior_variance: float = PRIOR_VARIANCE
) -> float:
    """Return how many standard errors a confidence sequence reaches.

    It holds all means m for which `bayes_factor` of (mean - m) is below
    1 / level; infinite where no t gets there.

    Example:
    >>> reach(2, 0.05), round(reach(10, 0.05), 2)
    (inf, 3.87)
    """
    if count < 2:
        return math.inf
    growth = 1 + count * prior_variance
    bound = (math.sqrt(growth) / level) ** (2 / count)
    if bound >= growth:
        return math.inf
    return math.sqrt((count - 1) * (bound - 1) / (1 - bound / growth))


def weigh(
    deltas: list, level: float, prior_variance: float = PRIOR_VARIANCE
) -> Evidence:
    """Look at paired differences after each seed.

    Args:
        deltas: The differences, in the order of the seeds.
        level: The confidence sequence leaves out the true mean at any time
            with at most this probability.
        prior_variance: See `bayes_factor`.

    Returns:
        The `Evidence` after the last.

    Example:
    >>> weigh([1.0, 1.1, 0.9, 1.2, 1.0, 0.8], level=0.05).p_value < 0.01
    True
    """
    best, low, high = 1.0, -math.inf, math.inf
    for count in range(2, len(deltas) + 1):
        some = deltas[:count]
        mean = statistics.fmean(some)
        error = statistics.stdev(some) / math.sqrt(count)
        if error == 0:
            # All the same number, of a score that has steps: no spread is
            # known, so nothing is decided.
            continue
        best = max(best, bayes_factor(count, mean / error, prior_variance))
        size = reach(count, level, prior_variance) * error
        low, high = max(low, mean - size), min(high, mean + size)
    return Evidence(1 / best, low, high)
