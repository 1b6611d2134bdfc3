import math

import numpy as np
import pytest
from scipy import integrate, stats

from keras_tricks.report.contrasts import OPEN, Rule, decide, versus
from keras_tricks.report.sequential import (
    PRIOR_VARIANCE,
    bayes_factor,
    reach,
    weigh,
)
from keras_tricks.report.statistics import seeds_needed


@pytest.mark.parametrize("count", [2, 5, 30])
@pytest.mark.parametrize("t", [0.0, 1.5, -4.0])
@pytest.mark.parametrize("variance", [0.5, 2.0])
def test_the_factor_is_the_integral_of_its_prior(count, t, variance):
    """Noncentral t, averaged over effects from N(0, g), over central t."""

    def density(effect):
        shifted = stats.nct.pdf(t, count - 1, effect * math.sqrt(count))
        return shifted * stats.norm.pdf(effect, scale=math.sqrt(variance))

    marginal, _ = integrate.quad(density, -12, 12, points=[-1, 0, 1], limit=200)
    expected = marginal / stats.t.pdf(t, count - 1)
    found = bayes_factor(count, t, variance)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_difference_says_nothing():
    assert bayes_factor(1, 3.0) == 1.0
    found = weigh([0.5], 0.05)
    assert (found.p_value, found.low, found.high) == (1.0, -math.inf, math.inf)


@pytest.mark.parametrize("count", [5, 12, 100])
def test_the_interval_ends_where_the_factor_is_one_over_the_level(count):
    found = reach(count, 0.05)
    np.testing.assert_allclose(bayes_factor(count, found), 20, rtol=1e-9)


def test_the_sequence_is_that_of_all_looks():
    deltas = list(np.random.default_rng(2).normal(1.0, 1.0, 20))
    looks = [weigh(deltas[:count], 0.05) for count in range(2, 21)]
    assert all(
        a.p_value >= b.p_value and a.low <= b.low and a.high >= b.high
        for a, b in zip(looks, looks[1:], strict=False)
    )
    means = [np.mean(deltas[:count]) for count in range(2, 21)]
    errors = [stats.sem(deltas[:count]) for count in range(2, 21)]
    factors = [
        bayes_factor(count, mean / error)
        for count, mean, error in zip(range(2, 21), means, errors, strict=True)
    ]
    np.testing.assert_allclose(looks[-1].p_value, 1 / max(1.0, *factors))


def test_differences_that_are_all_the_same_decide_nothing():
    assert weigh([0.25] * 10, 0.05).p_value == 1.0


def factors(draws):
    """All factors of (sweeps, questions, seeds), by NumPy."""
    n = np.arange(1, draws.shape[-1] + 1)
    mean = draws.cumsum(-1) / n
    square = (draws**2).cumsum(-1) - n * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / np.sqrt(square / (n - 1) / n)
        s = t**2 / (n - 1)
        growth = 1 + PRIOR_VARIANCE * n
        logs = n / 2 * (np.log1p(s) - np.log1p(s / growth))
    logs -= np.log(growth) / 2
    return np.where(n > 1, np.exp(np.minimum(logs, 600)), 1.0)


def test_false_positives_of_2000_sweeps_without_an_effect():
    """Eight questions, up to 40 seeds, a look after each."""
    draws = np.random.default_rng(0).normal(0, 1, (2000, 8, 40))
    # The baseline's seeds are shared, so questions go together.
    draws += np.random.default_rng(1).normal(0, 1, (2000, 1, 40))
    p = 1 / np.maximum.accumulate(np.maximum(factors(draws), 1), -1)
    found = 8 * p[:, :, -1].min(1) < 0.05  # Holm's first step.
    # 0.05 is the bound, and it is not reached.
    assert found.mean() < 0.05
    # The t test after each seed is what this is not.
    n = np.arange(2, 41)
    mean = draws.cumsum(-1)[..., 1:] / n
    spread = ((draws**2).cumsum(-1)[..., 1:] - n * mean**2) / (n - 1)
    naive = 2 * stats.t.sf(np.abs(mean) / np.sqrt(spread / n), n - 1)
    assert (naive.min((1, 2)) < 0.05).mean() > 0.5


def test_the_power_at_one_standard_deviation():
    draws = np.random.default_rng(3).normal(1.0, 1.0, (500, 1, 40))
    p = 1 / np.maximum.accumulate(np.maximum(factors(draws), 1), -1)
    seeds = (p[:, 0] >= 0.05).sum(-1) + 1
    assert (p[:, 0, -1] < 0.05).mean() > 0.99
    assert 8 < np.median(seeds) < 16


def test_numpy_and_the_library_agree():
    draws = np.random.default_rng(4).normal(0.5, 1.0, (3, 1, 10))
    for sweep in draws[:, 0]:
        expected = factors(sweep)
        for count in range(2, 11):
            t = sweep[:count].mean() / stats.sem(sweep[:count])
            found = bayes_factor(count, t)
            np.testing.assert_allclose(found, expected[count - 1], rtol=1e-8)


def test_a_question_stays_decided():
    rule = Rule(sequential=True)
    values = {
        "a": {s: 0.9 + 0.001 * (s % 3) for s in range(8)},
        "b": {s: 0.8 + 0.001 * (s % 2) for s in range(20)},
        "c": {s: 0.8 + 0.002 * (s % 5) for s in range(20)},
    }
    contrasts = [versus("a", "a", "b"), versus("c", "c", "b")]
    for count in range(8, 21):
        some = {
            name: {s: v for s, v in seeds.items() if s < count}
            for name, seeds in values.items()
        }
        decisions = decide(contrasts, some, rule)
        assert decisions[0].verdict != OPEN


@pytest.mark.parametrize("effect, level", [(1.0, 0.05), (2.0, 0.05 / 8)])
def test_the_seeds_needed_have_the_power_of_the_rule(effect, level):
    count = seeds_needed(1.0, effect, level, sequential=True)
    assert count > seeds_needed(1.0, effect, level)

    def power(n):  # By simulation; of the last look, and of any.
        draws = np.random.default_rng(n).normal(effect, 1, (2_000, n))
        errors = draws.std(axis=1, ddof=1) / math.sqrt(n)
        factors = [bayes_factor(n, t) for t in draws.mean(axis=1) / errors]
        some = draws[:500].tolist()
        any_look = [weigh(list(row), level).p_value < level for row in some]
        return np.mean(np.array(factors) > 1 / level), np.mean(any_look)

    last, any_look = power(count)
    assert last > 0.8 - 0.03
    assert any_look > 0.8 - 0.05
    assert power(count - 1)[0] < 0.8 + 0.03
