"""What the name of a network stands for."""

import re

import keras

from keras_tricks._checks import near

OURS = ("resnet", "inception_v3", "mobilenet")
"""The families of the paper."""
OF_OURS = ("depth", "variant", "width", "small_images")
"""Fields of a recipe that only they have."""
APPLICATIONS = tuple(
    name for name in dir(keras.applications) if name[:1].isupper()
)
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def split_name(
    value: str, name: str = "model", families: tuple[str, ...] = OURS
) -> tuple[str, str]:
    """Return the kind of network that a name stands for, and the rest of it.

    Args:
        value: The name of a network.
        name: What the argument is called, for the message.
        families: Names that stand for themselves.

    Returns:
        A pair: one of `families`, or `"applications"`, `"hub"`, `"file"` or
        `"function"`; and the name of the network there.

    Raises:
        ValueError: If it stands for nothing.

    Example:
    >>> split_name("applications/VGG16"), split_name("mine.keras")
    (('applications', 'VGG16'), ('file', 'mine.keras'))
    >>> split_name("my_networks:build")
    ('function', 'my_networks:build')
    """
    if not isinstance(value, str):
        raise ValueError(
            f"`{name}` must be a string, the name of a network. "
            f"Received: {name}={value!r}"
        )
    if value in families:
        return value, ""
    if value.endswith(".keras"):
        return "file", value
    kind, sign, rest = value.partition("/")
    if kind == "applications" and sign:
        if rest not in APPLICATIONS:
            raise ValueError(
                f"`{name}` must be applications/ and a network of "
                f"keras.applications{near(rest, APPLICATIONS)}. "
                f"Received: {name}={value!r}"
            )
        return kind, rest
    if kind == "hub" and rest:
        return kind, rest
    if _FUNCTION.fullmatch(value):
        return "function", value
    own = ", ".join(map(repr, families))
    raise ValueError(
        f"`{name}` must be one of {own}{', ' if own else ''}applications/NAME, "
        "hub/PRESET, a .keras file, or module:function. "
        f"Received: {name}={value!r}"
    )


def is_ours(value: str) -> bool:
    """Return whether a name is that of a family of the paper.

    Example:
    >>> is_ours("resnet"), is_ours("applications/ResNet50")
    (True, False)
    """
    return split_name(value)[0] in OURS


def is_built(value: str) -> bool:
    """Return whether a name, no path, stands for a network of others.

    Example:
    >>> is_built("applications/VGG16"), is_built("teachers/first.h5")
    (True, False)
    """
    named = value.startswith(("applications/", "hub/"))
    named = named and not value.endswith((".keras", ".h5"))
    return named or bool(_FUNCTION.fullmatch(value))


def brings_weights(value: str) -> bool:
    """Return whether a network of this name is trained already.

    Example:
    >>> brings_weights("hub/resnet_18_imagenet"), brings_weights("resnet")
    (True, False)
    """
    return split_name(value)[0] in ("hub", "file")
