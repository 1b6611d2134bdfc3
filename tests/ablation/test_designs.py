import pytest

from keras_tricks.ablation.designs import (
    leave_one_out,
    listed,
    one_at_a_time,
    pairs,
    stacked,
)

TRICKS = {"a": {"x": 1}, "b": {"y": 2}, "c": {"x": 3}}
ALL = {"x": 3, "y": 2}


def weights(contrasts):
    return {contrast.name: contrast.weights for contrast in contrasts}


def test_stacked():
    rows, contrasts = stacked(TRICKS)
    assert rows == {
        "baseline": {},
        "+a": {"x": 1},
        "+b": {"x": 1, "y": 2},
        "+c": ALL,
    }
    assert weights(contrasts) == {
        "a": {"+a": 1, "baseline": -1},
        "b": {"+b": 1, "+a": -1},
        "c": {"+c": 1, "+b": -1},
        "whole_bag": {"+c": 1, "baseline": -1},
    }


def test_one_at_a_time():
    rows, contrasts = one_at_a_time(TRICKS)
    assert rows == {"baseline": {}, **TRICKS, "whole_bag": ALL}
    assert weights(contrasts) == {
        name: {name: 1, "baseline": -1} for name in (*TRICKS, "whole_bag")
    }
    assert list(one_at_a_time({"a": {"x": 1}})[0]) == ["baseline", "a"]


def test_leave_one_out():
    rows, contrasts = leave_one_out(TRICKS)
    assert rows == {
        "baseline": {},
        "whole_bag": ALL,
        "without_a": {"y": 2, "x": 3},
        "without_b": {"x": 3},
        "without_c": {"x": 1, "y": 2},
    }
    assert weights(contrasts) == {
        "a": {"whole_bag": 1, "without_a": -1},
        "b": {"whole_bag": 1, "without_b": -1},
        "c": {"whole_bag": 1, "without_c": -1},
        "whole_bag": {"whole_bag": 1, "baseline": -1},
    }


def test_pairs():
    rows, contrasts = pairs(TRICKS)
    assert list(rows) == ["baseline", "a", "b", "c", "a+b", "a+c", "b+c"]
    assert rows["b+c"] == {"y": 2, "x": 3}
    assert weights(contrasts)["b x c"] == {
        "b+c": 1,
        "b": -1,
        "c": -1,
        "baseline": 1,
    }


def test_listed():
    bag = {"a": TRICKS["a"], "b": TRICKS["b"]}
    rows, contrasts = listed(
        TRICKS, ["whole_bag", "without_a", "c", "whole_bag"], bag
    )
    assert rows == {
        "whole_bag": {"x": 1, "y": 2},
        "without_a": {"y": 2},
        "c": {"x": 3},
    }
    assert weights(contrasts) == {
        "without_a": {"without_a": 1, "whole_bag": -1},
        "c": {"c": 1, "whole_bag": -1},
    }
    with pytest.raises(ValueError, match="`configurations` must be one of"):
        listed(TRICKS, ["nothing"])
