"""Tricks by name, and those that somebody writes on a command line."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from keras_tricks._checks import near
from keras_tricks._image_size import is_size, parse_size
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.rules import check_names


def _short_warmup(epochs: int) -> float:
    """Return 5 of 120 epochs; in short runs an epoch, or an eighth of all."""
    return max(min(1.0, epochs / 8), epochs * 5 // 120)


TRICKS: dict[str, dict[str, Any]] = {
    "linear_scaling": {"learning_rate_scaling": "linear"},
    "warmup": {"warmup_epochs": _short_warmup},
    "zero_gamma": {"zero_gamma": True},
    "no_bias_decay": {"decay": "kernels"},
    "resnet_d": {"variant": "D"},
    "cosine": {"schedule": "cosine"},
    "label_smoothing": {"label_smoothing": 0.1},
    "mixup": {"mixup_alpha": 0.2},
    "cutmix": {"cutmix_alpha": 1.0},
    "ema": {"ema_decay": 0.99},
    "drop_path": {"drop_path": 0.1},
    "erasing": {"erasing": 0.25},
    "rand_augment": {"policy": "rand_augment"},
    "trivial_augment": {"policy": "trivial_augment"},
    "aug_mix": {"policy": "aug_mix"},
    "swish": {"activation": "silu"},
    "float16": {"precision": "mixed_float16"},
}
"""Fields of `Recipe` that a trick changes; functions get the epochs."""

PAPER = (
    "warmup",
    "zero_gamma",
    "no_bias_decay",
    "resnet_d",
    "cosine",
    "label_smoothing",
    "mixup",
)
"""Tricks of the paper's tables, in its order.

Linear scaling is not among them: at the paper's batch of 256 it changes
nothing, and elsewhere a baseline without it would have another peak rate, not
one trick less.
"""

DISTILLATION = ("teacher", "teacher_weights", "temperature", "hard_weight")
"""Fields that the trick `distillation` takes from the base."""

FIXED_BY_WEIGHTS = (
    "model",
    "depth",
    "variant",
    "width",
    "small_images",
    "zero_gamma",
)
"""Fields that say what the weights are, or that the weights overwrite."""


def read_trick(text: str) -> tuple[str, dict[str, Any]]:
    """Read `name:field=value,field=value`.

    Values are those of the flags: `true`, `none`, numbers, text; of several
    integers with `+` between them.

    Args:
        text: What somebody wrote.

    Returns:
        The name and the fields.

    Raises:
        ValueError: If it is not of this form, a field is unknown, or a value
            is none of its kind. The range is checked by `Recipe`.

    Example:
    >>> read_trick("strong:mixup_alpha=0.4,schedule=cosine")
    ('strong', {'mixup_alpha': 0.4, 'schedule': 'cosine'})
    """
    name, colon, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",")]
    if not colon or not all(field and sign for field, sign, _ in pairs):
        raise ValueError(
            f"A trick must be name:field=value,field=value. Received: {text!r}"
        )
    check_trick_name(name)
    check_names(Recipe, [field for field, _, _ in pairs])
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    return name, {
        field: _read_value(fields[field], value) for field, _, value in pairs
    }


def check_trick_name(name: str) -> None:
    """Refuse a name that cannot be that of a folder.

    Raises:
        ValueError: If it has other signs than letters, digits, `_`, `-` and
            `.`, which it must not begin with.

    Example:
    >>> check_trick_name("mixup_0.4")
    """
    signs = name.replace("_", "").replace("-", "").replace(".", "")
    if not (signs.isascii() and signs.isalnum()) or name[0] in ".-":
        raise ValueError(
            "The name of a trick must be of letters, digits, `_`, `-` and `.`. "
            f"Received: {name!r}"
        )


def _read_value(field, text):
    kinds = get_args(field.type) or (field.type,)
    if type(None) in kinds and text.lower() in ("none", ""):
        return None
    kind = parse_size if is_size(kinds) else get_args(kinds[0]) or kinds[0]
    if isinstance(kind, tuple) and text in (field.metadata["choices"] or ()):
        return text
    words = {"true": True, "false": False}
    try:
        if kind is bool:
            return words[text.lower()]
        if isinstance(kind, tuple):
            return tuple(kind[0](part) for part in text.split("+"))
        return kind(text)
    except (ValueError, KeyError):
        what = "numbers" if isinstance(kind, tuple) else kind.__name__
        what = "an integer or height x width" if is_size(kinds) else what
        raise ValueError(
            f"`{field.name}` must be {what}. Received: {field.name}={text!r}"
        ) from None


def find_tricks(
    names: Iterable[str], own: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the fields of tricks by their names.

    Args:
        names: Of `TRICKS` or of `own`; `distillation` for a teacher.
        own: Further tricks by name, which win.

    Returns:
        A dict of name to fields, in the order of `names`.

    Raises:
        ValueError: If a name is unknown or there twice.

    Example:
    >>> find_tricks(["cosine"])
    {'cosine': {'schedule': 'cosine'}}
    """
    known = {**TRICKS, "distillation": {}, **(own or {})}
    names = list(names)
    for name in names:
        if name not in known:
            raise ValueError(
                f"`tricks` must be of {', '.join(known)}"
                f"{near(name, known)}. Received: {name}"
            )
        if names.count(name) > 1:
            raise ValueError(f"`tricks` must differ. Received: {name} twice")
    return {name: dict(known[name]) for name in names}


def settle(
    fields: Mapping[str, Any | Callable[[int], Any]], epochs: int
) -> dict[str, Any]:
    """Return fields with the values of those that depend on the epochs.

    Example:
    >>> settle(TRICKS["warmup"], epochs=4)
    {'warmup_epochs': 0.5}
    """
    return {
        name: value(epochs) if callable(value) else value
        for name, value in fields.items()
    }
