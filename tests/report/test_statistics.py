import math
import sys

import numpy as np
import pytest
from scipy import stats

from keras_tricks.report.statistics import paired_difference, t_quantile


@pytest.mark.parametrize("pairs", [2, 3, 5, 10, 100])
def test_agrees_with_scipys_paired_test(pairs):
    rng = np.random.default_rng(pairs)
    baseline = rng.normal(0.9, 0.02, pairs)
    values = baseline + rng.normal(0.01, 0.01, pairs)
    interval = stats.ttest_rel(values, baseline).confidence_interval(0.95)

    difference = paired_difference(list(values), list(baseline))

    deltas = values - baseline
    assert difference.pairs == pairs
    np.testing.assert_allclose(difference.mean, deltas.mean(), rtol=1e-12)
    error = deltas.std(ddof=1) / np.sqrt(pairs)
    np.testing.assert_allclose(difference.error, error, rtol=1e-10)
    np.testing.assert_allclose(difference.low, interval.low, rtol=1e-9)
    np.testing.assert_allclose(difference.high, interval.high, rtol=1e-9)
    clear = interval.low > 0 or interval.high < 0
    assert difference.is_clear == clear


def test_one_pair_has_no_interval():
    difference = paired_difference([0.75], [0.5])
    assert difference.mean == 0.25
    assert math.isnan(difference.error)
    assert math.isnan(difference.low) and math.isnan(difference.high)
    assert not difference.is_clear


def test_interval_that_touches_zero_is_not_clear():
    assert not paired_difference([1.0, 2.0], [1.0, 2.0]).is_clear


def test_unequal_lengths():
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0, 2.0], [1.0])


def test_names_the_extra_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"keras_tricks\[report\].*scipy"):
        t_quantile(2)
