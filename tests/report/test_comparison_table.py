import re

import numpy as np
import pytest
from scipy import stats

from keras_tricks.report import comparison_table

BASE = [0.90, 0.91, 0.92]


def last_line(*args, **kwargs):
    return comparison_table(*args, **kwargs).splitlines()[-1]


def test_text_agrees_with_numpy_and_scipy(make_seeds):
    values = [0.915, 0.921, 0.930]
    table = comparison_table(
        {
            "baseline": make_seeds("a", BASE),
            "cosine": make_seeds("b", values),
        }
    )
    test = stats.ttest_rel(values, BASE)
    low, high = 100 * np.array(test.confidence_interval())
    delta = 100 * (np.array(values) - BASE)
    error = delta.std(ddof=1) / np.sqrt(3)
    header, base, cosine, empty, verdict = table.splitlines()
    assert header.split("  ")[0] == "configuration"
    assert base.split() == ["baseline", "3", "2", "91.00", "%", "1.00"] + [
        "–",
        "–",
    ]
    assert cosine.split() == [
        *("cosine", "3", "2", f"{100 * np.mean(values):.2f}", "%"),
        f"{100 * np.std(values, ddof=1):.2f}",
        *(f"{delta.mean():+.2f}", "±", f"{error:.2f}"),
        *(f"{low:+.2f}", "to", f"{high:+.2f}"),
    ]
    assert len(header) == len(base) == len(cosine)
    assert empty == ""
    assert verdict == (
        f"cosine ends {delta.mean():.2f} points above baseline (95 % "
        f"interval {low:+.2f} to {high:+.2f}, 3 seeds): a gain beyond the "
        "spread over seeds."
    )


def test_markdown_has_the_same_cells(make_seeds):
    runs = {"a|b": make_seeds("a", BASE), "c": make_seeds("c", BASE[::-1])}
    lines = comparison_table(runs, markdown=True).splitlines()
    assert lines[0].startswith("| configuration | seeds | epochs | mean |")
    assert lines[1] == "|---|" + "---:|" * 6
    assert lines[2] == r"| a\|b | 3 | 2 | 91.00 % | 1.00 | – | – |"
    assert lines[3].startswith("| c | 3 | 2 | 91.00 % | 1.00 | +0.00 ± ")
    assert lines[4] == ""
    assert lines[5].startswith("- c ends ")


@pytest.mark.parametrize(
    "values, metric, sentence",
    [
        ([0.95, 0.96, 0.98], "val_accuracy", "above base .* a gain beyond"),
        ([0.85, 0.86, 0.88], "val_accuracy", "below base .* a loss beyond"),
        ([0.95, 0.96, 0.98], "val_loss", "above base .* a loss beyond"),
        ([0.85, 0.86, 0.88], "val_loss", "below base .* a gain beyond"),
        ([0.85, 0.86, 0.88], "val_crossentropy", "below base .* a gain"),
        ([0.95, 0.96, 0.98], "val_score", "above base .* a difference bey"),
        ([0.99, 0.91, 0.88], "val_accuracy", "within the spread over seeds"),
        (BASE, "val_accuracy", "ends level with base .* within the spread"),
    ],
)
def test_verdict(make_seeds, values, metric, sentence):
    runs = {
        "base": make_seeds("a", BASE, metric),
        "new": make_seeds("b", values, metric),
    }
    line = last_line(runs, metric=metric)
    assert line.startswith("new ends ")
    assert re.search(sentence, line), line
    assert ("points" in line) == ("accuracy" in metric and values != BASE)


def test_one_seed_shows_nothing(make_seeds):
    runs = {"a": make_seeds("a", [0.9]), "b": make_seeds("b", [0.95])}
    assert last_line(runs) == (
        "b ends 5.00 points above a with one seed: without a spread over "
        "seeds, that shows nothing."
    )


def test_pairs_by_seed_whatever_the_order(make_seeds):
    base = make_seeds("a", [0.1, 0.5, 0.9], seeds=[7, 8, 9])
    new = make_seeds("b", [0.91, 0.11, 0.51], seeds=[9, 7, 8])
    assert "new ends 1.00 points above base (95 % interval +1.00 to" in (
        last_line({"base": base, "new": new})
    )


def test_only_common_seeds_are_compared(make_seeds):
    base = make_seeds("a", [0.1, 0.5, 0.9], seeds=[1, 2, 3])
    new = make_seeds("b", [0.6, 0.92, 0.3], seeds=[2, 3, 4])
    assert "(95 % interval -44.82 to +56.82, 2 seeds)" in (
        last_line({"base": base, "new": new})
    )
    with pytest.raises(ValueError, match="seed in common"):
        comparison_table({"a": base, "b": make_seeds("c", [0.5], seeds=[11])})


def test_pairs_by_position_without_seeds(make_run):
    def runs(name, values):
        return [
            make_run(f"{name}{i}", {"val_accuracy": [value]})
            for i, value in enumerate(values)
        ]

    base, new = runs("a", [0.1, 0.5]), runs("b", [0.2, 0.6])
    assert "ends 10.00 points above" in last_line({"a": base, "b": new})
    with pytest.raises(ValueError, match="or as many runs"):
        comparison_table({"a": base, "b": new[:1]})


@pytest.mark.parametrize("runs", [None, {}, [], {"a": []}, {"a": 3}])
def test_wrong_runs(runs):
    with pytest.raises(ValueError, match="`runs` must be a dict .*Received"):
        comparison_table(runs)


def test_a_folder_given_twice_is_not_two_seeds(make_seeds):
    (folder,) = make_seeds("a", [0.9])
    with pytest.raises(ValueError, match="each of them once"):
        comparison_table({"a": [folder, str(folder)]})


def test_a_single_folder_needs_no_list(make_seeds):
    (folder,) = make_seeds("a", [0.9])
    assert "90.00 %" in comparison_table({"a": folder})
    assert "90.00 %" in comparison_table({"a": str(folder)})


def test_wrong_metric_or_no_last_value(make_seeds):
    runs = {"a": make_seeds("a", [0.9, float("nan")])}
    with pytest.raises(ValueError, match="metric='val_loss'"):
        comparison_table(runs, metric="val_loss")
    with pytest.raises(ValueError, match="number in its last row"):
        comparison_table(runs)
