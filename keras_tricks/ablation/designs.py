"""Which configurations answer which question, and by which differences."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from keras_tricks._checks import check_choice
from keras_tricks.report.contrasts import Contrast, versus

BASELINE, BAG = "baseline", "whole_bag"


def stacked(tricks: Mapping[str, dict]) -> tuple[dict, list[Contrast]]:
    """Add one trick after the other, as the paper's tables do.

    Args:
        tricks: Dict of name to fields, in the order of the rows.

    Returns:
        The fields by configuration, and the difference of each row to the one
        before, and of the last to the first.

    Example:
    >>> rows, contrasts = stacked({"a": {"x": 1}, "b": {"y": 2}})
    >>> rows
    {'baseline': {}, '+a': {'x': 1}, '+b': {'x': 1, 'y': 2}}
    >>> [contrast.name for contrast in contrasts]
    ['a', 'b', 'whole_bag']
    """
    rows: dict[str, dict] = {BASELINE: {}}
    fields: dict = {}
    contrasts, before = [], BASELINE
    for name, changes in tricks.items():
        fields = {**fields, **changes}
        rows[f"+{name}"] = fields
        contrasts.append(versus(name, f"+{name}", before))
        before = f"+{name}"
    if len(tricks) > 1:
        contrasts.append(versus(BAG, before, BASELINE))
    return rows, contrasts


def one_at_a_time(tricks: Mapping[str, dict]) -> tuple[dict, list[Contrast]]:
    """Compare each trick alone, and all of them, with the baseline.

    Returns:
        As `stacked`.

    Example:
    >>> list(one_at_a_time({"a": {"x": 1}, "b": {"y": 2}})[0])
    ['baseline', 'a', 'b', 'whole_bag']
    """
    rows = {BASELINE: {}, **tricks}
    if len(tricks) > 1:
        rows[BAG] = _all(tricks)
    return rows, [versus(name, name, BASELINE) for name in list(rows)[1:]]


def leave_one_out(tricks: Mapping[str, dict]) -> tuple[dict, list[Contrast]]:
    """Take each trick out of the whole bag.

    What a trick brings is the bag with it, less the bag without it.

    Returns:
        As `stacked`.

    Example:
    >>> list(leave_one_out({"a": {"x": 1}, "b": {"y": 2}})[0])
    ['baseline', 'whole_bag', 'without_a', 'without_b']
    """
    rows = {BASELINE: {}, BAG: _all(tricks)}
    contrasts = []
    for name in tricks:
        others = {key: tricks[key] for key in tricks if key != name}
        rows[f"without_{name}"] = _all(others)
        contrasts.append(versus(name, BAG, f"without_{name}"))
    return rows, [*contrasts, versus(BAG, BAG, BASELINE)]


def pairs(tricks: Mapping[str, dict]) -> tuple[dict, list[Contrast]]:
    """Ask whether two tricks together do what they do alone.

    Beside each trick alone, the interaction of a and b is
    `(a and b) - a - b + baseline`: above 0 they help each other.

    Returns:
        As `stacked`.

    Example:
    >>> rows, contrasts = pairs({"a": {"x": 1}, "b": {"y": 2}})
    >>> list(rows)
    ['baseline', 'a', 'b', 'a+b']
    >>> contrasts[-1].weights
    {'a+b': 1, 'a': -1, 'b': -1, 'baseline': 1}
    """
    rows = {BASELINE: {}, **tricks}
    contrasts = [versus(name, name, BASELINE) for name in tricks]
    for a, b in itertools.combinations(tricks, 2):
        both = f"{a}+{b}"
        rows[both] = {**tricks[a], **tricks[b]}
        weights = {both: 1, a: -1, b: -1, BASELINE: 1}
        contrasts.append(Contrast(f"{a} x {b}", weights))
    return rows, contrasts


def listed(
    tricks: Mapping[str, dict],
    names: Iterable[str],
    bag: Mapping[str, dict] | None = None,
) -> tuple[dict, list[Contrast]]:
    """Compare what is listed with the first of it.

    Args:
        tricks: Dict of name to fields.
        bag: Those of the whole bag; all by default.
        names: Of tricks, `baseline`, `whole_bag`, or `without_NAME`.

    Returns:
        As `stacked`.

    Raises:
        ValueError: If a name is none of these.

    Example:
    >>> list(listed({"a": {"x": 1}}, ["whole_bag", "a"])[0])
    ['whole_bag', 'a']
    """
    known: dict[str, Any] = {
        **leave_one_out(tricks if bag is None else bag)[0],
        **tricks,
    }
    names = list(dict.fromkeys(names))
    for name in names:
        check_choice("configurations", name, tuple(known))
    rows = {name: known[name] for name in names}
    return rows, [versus(name, name, names[0]) for name in names[1:]]


def _all(tricks):
    return {key: v for fields in tricks.values() for key, v in fields.items()}


DESIGNS = {
    "one_at_a_time": one_at_a_time,
    "stacked": stacked,
    "leave_one_out": leave_one_out,
    "pairs": pairs,
}
"""Functions of the tricks, by name."""
