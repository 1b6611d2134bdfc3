import math
import sys

import numpy as np
import pytest
from scipy import stats

from keras_tricks.report.statistics import (
    bootstrap_interval,
    holm,
    mean_difference,
    seeds_needed,
    t_quantile,
    variance_components,
)


@pytest.mark.parametrize("pairs", [2, 3, 5, 10, 100])
def test_agrees_with_scipys_paired_test(pairs):
    rng = np.random.default_rng(pairs)
    baseline = rng.normal(0.9, 0.02, pairs)
    values = baseline + rng.normal(0.01, 0.01, pairs)
    interval = stats.ttest_rel(values, baseline).confidence_interval(0.95)

    difference = mean_difference(list(values - baseline))

    deltas = values - baseline
    assert difference.pairs == pairs
    np.testing.assert_allclose(difference.mean, deltas.mean(), rtol=1e-12)
    error = deltas.std(ddof=1) / np.sqrt(pairs)
    np.testing.assert_allclose(difference.error, error, rtol=1e-10)
    np.testing.assert_allclose(difference.low, interval.low, rtol=1e-9)
    np.testing.assert_allclose(difference.high, interval.high, rtol=1e-9)


def test_one_pair_has_no_interval():
    difference = mean_difference([0.25])
    assert difference.mean == 0.25
    assert math.isnan(difference.error)
    assert math.isnan(difference.low) and math.isnan(difference.high)
    assert math.isnan(difference.p_value)


def test_names_the_extra_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"keras_tricks\[report\].*scipy"):
        t_quantile(2)


def test_p_value_is_scipys():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.1, 1, 7), rng.normal(0, 1, 7)
    found = mean_difference(list(a - b))
    expected = stats.ttest_rel(a, b).pvalue
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-10)
    np.testing.assert_allclose(found.deviation, (a - b).std(ddof=1))


@pytest.mark.parametrize(
    "deltas, p_value",
    [([0.0] * 4, 1.0), ([0.25] * 2, 0.5), ([0.25] * 6, 0.03125)],
)
def test_without_a_spread_the_sign_test_judges(deltas, p_value):
    found = mean_difference(deltas)
    assert found.error == 0 and found.p_value == p_value


def test_holm_by_hand():
    # 0.01 * 4, 0.02 * 3, max(0.06, 0.03 * 2), 0.5.
    corrected = holm([0.5, 0.01, math.nan, 0.03, 0.02])
    np.testing.assert_allclose(corrected, [0.5, 0.04, math.nan, 0.06, 0.06])


def test_bootstrap_is_scipys_and_the_same_each_time():
    deltas = [float(x) for x in np.random.default_rng(0).exponential(1, 15)]
    found = bootstrap_interval(deltas)
    expected = stats.bootstrap(
        (np.array(deltas),), np.mean, rng=np.random.default_rng(5)
    ).confidence_interval
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert found == bootstrap_interval(deltas)
    assert all(map(math.isnan, bootstrap_interval(deltas[:9])))
    assert all(map(math.isnan, bootstrap_interval([1.0] * 12)))


@pytest.mark.parametrize("effect", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("level", [0.05, 0.05 / 8])
def test_the_seeds_needed_have_the_power(effect, level):
    count = seeds_needed(1.0, effect, level)

    def power(n):  # By simulation of the paired t test.
        draws = np.random.default_rng(n).normal(effect, 1, (40_000, n))
        p = stats.ttest_1samp(draws, 0, axis=1).pvalue
        return (p < level).mean()

    assert power(count) > 0.8 - 0.01
    if count > 2:
        assert power(count - 1) < 0.8 + 0.01


def test_no_number_of_seeds_shows_nearly_nothing():
    assert seeds_needed(1.0, 1e-4) is None
    assert seeds_needed(0.0, 1.0) == 2


def test_variance_components_of_unequal_groups():
    # Hand-computed: groups (1, 3), (6, 6, 9), (4): within = 2 + 6 = 8 / 3.
    values, groups = [1.0, 3.0, 6.0, 6.0, 9.0, 4.0], list("aabbbc")
    between, within = variance_components(values, groups)
    np.testing.assert_allclose(within, 8 / 3)
    mean = 29 / 6
    square = 2 * (2 - mean) ** 2 + 3 * (7 - mean) ** 2 + (4 - mean) ** 2
    size = (6 - (4 + 9 + 1) / 6) / 2
    np.testing.assert_allclose(between, (square / 2 - 8 / 3) / size)


def test_variance_components_of_too_few():
    assert all(map(math.isnan, variance_components([1.0, 2.0], ["a", "b"])))
    between, within = variance_components([1.0, 2.0], ["a", "a"])
    assert math.isnan(between) and within == 0.5


def test_variance_components_find_what_was_drawn():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(300), 4)
    values = rng.normal(0, 2, 300)[groups] + rng.normal(0, 1, 1200)
    between, within = variance_components(list(values), list(groups))
    assert abs(between - 4) < 0.8 and abs(within - 1) < 0.1
