"""Old names that still work, and say until when."""

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable)
_warned: set[str] = set()


def warn_deprecated(
    old: str, new: str, removed_in: str, stacklevel: int = 2
) -> None:
    """Warn once that a name is going to be removed.

    Args:
        old: What is deprecated, such as ``"`SGD(decay_rate=...)`"``.
        new: What to use instead.
        removed_in: Version that no longer has it.
        stacklevel: As of `warnings.warn`: 2 is the caller of this function's
            caller.

    Example:
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always")
    ...     for _ in range(2):
    ...         warn_deprecated("`old`", "`new`", "9.0")
    >>> [str(warning.message) for warning in seen]
    ['`old` is deprecated and will be removed in version 9.0: use `new`.']
    """
    message = (
        f"{old} is deprecated and will be removed in version {removed_in}: "
        f"use {new}."
    )
    if message not in _warned:
        _warned.add(message)
        # Python hides a DeprecationWarning from those who call scripts.
        warnings.warn(message, FutureWarning, stacklevel=stacklevel + 1)


def renamed_argument(
    old: str, new: str, *, removed_in: str
) -> Callable[[_Function], _Function]:
    """Let a function take an argument by its former name too.

    Args:
        old: The former name.
        new: The name of the argument in the function.
        removed_in: Version that no longer takes the former name.

    Returns:
        A decorator. What it decorates raises `TypeError` where both names
        are given.

    Example:
    >>> @renamed_argument("classes", "num_classes", removed_in="9.0")
    ... def build(num_classes):
    ...     return num_classes
    >>> build(num_classes=3)
    3
    """

    def decorate(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(
                        f"`{new}` must be given once. Received: {new}="
                        f"{kwargs[new]!r}, {old}={kwargs[old]!r}"
                    )
                name = function.__qualname__.removesuffix(".__init__")
                warn_deprecated(f"`{name}({old}=...)`", f"`{new}`", removed_in)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapped

    return decorate


def moved_name(
    module: str, name: str, moved: Mapping[str, str], *, removed_in: str
) -> Any:
    """Return what a module's former name stands for now.

    For the end of a module's `__getattr__`.

    Args:
        module: `__name__` of the module.
        name: The name that it was asked for.
        moved: Former names, and the full names of where they are now.
        removed_in: Version that no longer has them.

    Returns:
        The object.

    Raises:
        AttributeError: If the name is not one of the former names.

    Example:
    >>> moved = {"fraction": "fractions.Fraction"}
    >>> moved_name("numbers", "fractoin", moved, removed_in="9.0")
    Traceback (most recent call last):
    AttributeError: module 'numbers' has no attribute 'fractoin'
    """
    if name not in moved:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warn_deprecated(
        f"`{module}.{name}`", f"`{moved[name]}`", removed_in, stacklevel=3
    )
    home, _, new = moved[name].rpartition(".")
    return getattr(importlib.import_module(home), new)
