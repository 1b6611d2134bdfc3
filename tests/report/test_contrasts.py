import math

import numpy as np
import pytest
from scipy import stats

from keras_tricks.report.contrasts import (
    HELPS,
    HURTS,
    OPEN,
    SMALL,
    UNSTABLE,
    Contrast,
    Rule,
    decide,
    versus,
)
from keras_tricks.report.statistics import holm


def seeds(mean, count=6, noise=0.002, seed=0):
    rng = np.random.default_rng(seed)
    return {s: float(mean + rng.normal(0, noise)) for s in range(count)}


VALUES = {
    "base": seeds(0.80, seed=1),
    "good": seeds(0.85, seed=2),
    "bad": seeds(0.75, seed=3),
    "same": seeds(0.80, seed=4),
}
CONTRASTS = [versus(name, name, "base") for name in ("good", "bad", "same")]


def verdicts(rule, values=None, failed=None):
    found = decide(CONTRASTS, values or VALUES, rule, failed)
    return [decision.verdict for decision in found]


def test_verdicts():
    assert verdicts(Rule()) == [HELPS, HURTS, OPEN]
    assert verdicts(Rule(smallest_effect=0.01)) == [HELPS, HURTS, SMALL]


def test_of_an_error_less_is_better():
    assert verdicts(Rule(higher_is_better=False)) == [HURTS, HELPS, OPEN]


def test_p_values_and_intervals_are_scipys():
    decisions = decide(CONTRASTS, VALUES, Rule())
    base = list(VALUES["base"].values())
    tests = [
        stats.ttest_rel(list(VALUES[d.contrast.name].values()), base)
        for d in decisions
    ]
    expected = [test.pvalue for test in tests]
    np.testing.assert_allclose([d.p_value for d in decisions], expected)
    corrected = [d.corrected for d in decisions]
    np.testing.assert_allclose(corrected, holm(expected))
    for decision, test in zip(decisions, tests, strict=True):
        interval = test.confidence_interval(0.95)
        np.testing.assert_allclose(decision.low, interval.low)
        np.testing.assert_allclose(decision.high, interval.high)


def test_holm_keeps_what_one_test_would_find():
    """p = 0.03 alone, of ten questions nothing."""
    rng = np.random.default_rng(0)
    deltas = rng.normal(0, 1, 6)
    deltas += 2.9 * stats.sem(deltas) - deltas.mean()
    values = {"base": dict.fromkeys(range(6), 0.0)}
    values["one"] = dict(enumerate(deltas.tolist()))
    contrasts = [versus("one", "one", "base")]
    assert decide(contrasts, values, Rule())[0].verdict == HELPS
    for k in range(9):
        name = f"other{k}"
        values[name] = dict(enumerate(rng.normal(0, 1, 6).tolist()))
        contrasts.append(versus(name, name, "base"))
    assert decide(contrasts, values, Rule())[0].verdict == OPEN


def test_pairs_are_of_common_seeds():
    values = {"a": {0: 1.0, 1: 2.0, 7: 9.0}, "b": {1: 1.5, 0: 0.5, 2: 4.0}}
    decision = decide([versus("a", "a", "b")], values, Rule())[0]
    assert decision.deltas == {0: 0.5, 1: 0.5}


def test_an_interaction_is_what_is_left_of_the_sum():
    values = {
        "base": {0: 0.50, 1: 0.52},
        "a": {0: 0.60, 1: 0.63},
        "b": {0: 0.55, 1: 0.56},
        "a+b": {0: 0.70, 1: 0.70},
    }
    contrast = Contrast("a x b", {"a+b": 1, "a": -1, "b": -1, "base": 1})
    found = contrast.of(values)
    np.testing.assert_allclose(list(found.values()), [0.05, 0.03])


def test_one_seed_and_none():
    values = {"a": {0: 1.0}, "b": {0: 0.5}, "c": {}}
    one, none = decide(
        [versus("a", "a", "b"), versus("c", "c", "b")], values, Rule()
    )
    assert one.verdict == none.verdict == OPEN
    assert one.difference.mean == 0.5 and math.isnan(one.p_value)
    assert none.difference is None and none.seeds is None


def test_zero_variance_needs_six_seeds():
    for count, expected in ((5, OPEN), (6, HELPS)):
        values = {
            "a": dict.fromkeys(range(count), 0.75),
            "b": dict.fromkeys(range(count), 0.5),
        }
        found = decide([versus("a", "a", "b")], values, Rule())[0]
        assert found.verdict == expected


def test_a_failed_run_is_no_success():
    found = decide(CONTRASTS, VALUES, Rule(), {"good": 1})
    assert [d.verdict for d in found] == [UNSTABLE, HURTS, OPEN]
    assert found[0].failed == 1


def test_the_seeds_that_an_open_question_needs():
    decision = decide([CONTRASTS[2]], VALUES, Rule())[0]
    assert decision.verdict == OPEN
    larger = decide([CONTRASTS[2]], VALUES, Rule(smallest_effect=0.002))[0]
    assert larger.seeds < decision.seeds


def test_the_level_is_that_of_the_interval():
    for level in (0.1, 0.01):
        decision = decide(CONTRASTS, VALUES, Rule(level=level))[0]
        pair = [list(VALUES[name].values()) for name in ("good", "base")]
        interval = stats.ttest_rel(*pair).confidence_interval(1 - level)
        np.testing.assert_allclose(decision.low, interval.low)


@pytest.mark.parametrize(
    "wrong", [{"level": 7}, {"level": 0}, {"power": 1}, {"smallest_effect": -1}]
)
def test_a_rule_is_checked(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be"):
        Rule(**wrong)


@pytest.mark.parametrize("weights", [{"a": 1}, {"a": 1, "b": 1}, {}])
def test_weights_add_up_to_nothing(weights):
    with pytest.raises(ValueError, match="`weights` must be of two"):
        Contrast("wrong", weights)
