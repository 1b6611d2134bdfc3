"""Sizes of images: the side of a square, or height and width."""

from typing import TypeAlias, get_args

from keras_tricks._checks import check_int

ImageSize: TypeAlias = int | tuple[int, int]
"""A side in pixels, or (height, width)."""


def check_size(
    name: str, value: ImageSize, low: int = 1, high: int | None = None
) -> ImageSize:
    """Return a size in its simplest form: one integer if it is a square.

    Args:
        name: Name of the argument, for the message.
        value: An integer, or two in a tuple or list.
        low: Smallest side.
        high: Largest side, or None for any.

    Raises:
        ValueError: If it is none.

    Example:
    >>> check_size("size", [8, 8]), check_size("size", [8, 12])
    (8, (8, 12))
    """
    if not isinstance(value, (tuple, list, str)):
        return check_int(name, value, low, high)
    if isinstance(value, str) or len(value) != 2:
        raise ValueError(
            f"`{name}` must be an integer, or two: height and width. "
            f"Received: {name}={value!r}"
        )
    height, width = (check_int(name, side, low, high) for side in value)
    return height if height == width else (height, width)


def is_size(kinds: tuple) -> bool:
    """Return whether the kinds that a field takes begin with those of a size.

    Example:
    >>> is_size(get_args(ImageSize | None)), is_size(get_args(int | None))
    (True, False)
    """
    return kinds[:2] == get_args(ImageSize)


def sides_of(size: ImageSize) -> tuple[int, int]:
    """Return height and width.

    Example:
    >>> sides_of(8), sides_of((8, 12))
    ((8, 8), (8, 12))
    """
    return (size, size) if isinstance(size, int) else size


def parse_size(text: str) -> ImageSize:
    """Read `224`, or height and width: `224x320`.

    Raises:
        ValueError: If it is neither.

    Example:
    >>> parse_size("224"), parse_size("224x320")
    (224, (224, 320))
    """
    sides = tuple(int(part) for part in text.lower().split("x"))
    if len(sides) > 2:
        raise ValueError("more than two sides")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def size_text(size: ImageSize) -> str:
    """Return a size as a flag has it.

    Example:
    >>> size_text(224), size_text((224, 320))
    ('224', '224x320')
    """
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
