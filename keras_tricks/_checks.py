"""Argument checks shared by the public objects; each error is one line."""

import difflib
import math
import numbers

from keras_tricks._text import printable


def check_int(name, value, minimum=0, maximum=None):
    """Return `value` as an int from `minimum` to `maximum`."""
    integral = isinstance(value, numbers.Integral) or hasattr(
        value, "__index__"
    )
    wrong = not integral or isinstance(value, bool) or int(value) < minimum
    if wrong or (maximum is not None and int(value) > maximum):
        limits = f"of at least {minimum}"
        if not wrong:
            limits = f"from {minimum} to {maximum}"
        raise ValueError(
            f"`{name}` must be an integer {limits}. Received: {name}={value!r}"
        )
    return int(value)


def check_real(
    name, value, low=None, high=None, open_low=False, open_high=False
):
    """Return `value` as a float inside an interval.

    Args:
        name: Name of the argument, for the message.
        value: The value to check.
        low: Lower end, or None for no lower end.
        high: Upper end, or None for no upper end.
        open_low: Whether `low` itself is outside the interval.
        open_high: Whether `high` itself is outside the interval.

    Returns:
        The value as a Python float.

    Raises:
        ValueError: If it is not a finite number inside the interval.
    """
    ok = isinstance(value, numbers.Real) and not isinstance(value, bool)
    ok = ok and math.isfinite(value)
    if ok and low is not None:
        ok = value > low if open_low else value >= low
    if ok and high is not None:
        ok = value < high if open_high else value <= high
    if not ok:
        left = "(-inf" if low is None else f"{'(' if open_low else '['}{low:g}"
        right = (
            "inf)" if high is None else f"{high:g}{')' if open_high else ']'}"
        )
        raise ValueError(
            f"`{name}` must be a number in {left}, {right}. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def near(value, known):
    """Return ` (is it 'x'?)` for the known name that is near, or ``."""
    close = difflib.get_close_matches(str(value), known, 1)
    return f" (is it {close[0]!r}?)" if close else ""


def check_choice(name, value, choices):
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. "
            f"Received: {name}={value!r}"
        )
    return value


def check_callable(name, function):
    """Return `function` if it can be called or is `None`."""
    if function is not None and not callable(function):
        raise ValueError(
            f"`{name}` must be callable or None. Received: {name}={function!r}"
        )
    return function


def labels_outside(labels, num_classes):
    """Tell which labels are no class.

    Args:
        labels: Numbers, an array of any family and shape.
        num_classes: K; classes are the integers 0 ... K - 1.

    Returns:
        Booleans of the same family and shape.
    """
    return (labels < 0) | (labels >= num_classes) | (labels // 1 != labels)


def first_line(error):
    """Return the beginning of an error's text in one line, for messages."""
    text = printable(" ".join(str(error).split()))
    return text[:160] or type(error).__name__
