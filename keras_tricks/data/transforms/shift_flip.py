"""Light augmentation for small images, in NumPy, a whole batch at once."""

import functools
from collections.abc import Callable
from typing import Literal

import numpy as np

from keras_tricks._checks import check_choice, check_int

_FILLS = ("reflect", "zeros")


def random_shift_flip(
    images: np.ndarray,
    rng: np.random.Generator,
    padding: int | None = None,
    flip: bool = True,
    fill: str = "reflect",
) -> np.ndarray:
    """Shift every image by its own offset and mirror every second one.

    Each image is padded on all sides, cropped back to its size at a uniform
    offset, and flipped left to right with probability 1/2.

    Args:
        images: Any dtype, shape `(B, H, W, C)`.
        rng: The generator that draws the offsets and the flips.
        padding: Largest shift in pixels, at least 0. Defaults to an eighth
            of each side: 4 pixels of 32.
        flip: Whether to flip. Defaults to `True`; digits and letters should
            not be.
        fill: What the padding holds: `"reflect"` (default) or `"zeros"`.

    Returns:
        A new array with the shape and dtype of `images`.

    Raises:
        ValueError: If `images` has another rank or is smaller than a
            reflected padding allows.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.data.transforms import random_shift_flip
    >>> images = np.zeros((2, 8, 8, 3), "uint8")
    >>> random_shift_flip(images, np.random.default_rng(0)).shape
    (2, 8, 8, 3)
    """
    check_choice("fill", fill, _FILLS)
    if images.ndim != 4:
        raise ValueError(
            "`images` must have shape (B, H, W, C). "
            f"Received: images.shape={images.shape}"
        )
    batch, height, width, channels = images.shape
    if padding is None:
        up, left = height // 8, width // 8
    else:
        up = left = check_int("padding", padding)
    if fill == "reflect" and (up >= height or left >= width):
        raise ValueError(
            "`padding` must be smaller than the images when it reflects. "
            f"Received: padding={padding}, images.shape={images.shape}"
        )
    offsets = [rng.integers(0, 2 * most + 1, batch) for most in (up, left)]
    flipped: np.ndarray
    flipped = rng.random(batch) < 0.5 if flip else np.zeros(batch, bool)
    mode: Literal["reflect", "constant"]
    mode = "reflect" if fill == "reflect" else "constant"
    margins = ((0, 0), (up, up), (left, left), (0, 0))
    padded = np.pad(images, margins, mode)
    rows = offsets[0][:, None] + np.arange(height)
    columns = np.arange(width)
    columns = np.where(flipped[:, None], columns[::-1], columns)
    columns = columns + offsets[1][:, None]
    tall, wide = padded.shape[1:3]
    first = np.arange(batch)[:, None] * tall + rows
    index = first[:, :, None] * wide + columns[:, None, :]
    return padded.reshape(-1, channels)[index]


_AUGMENTATIONS: dict[str, Callable | None] = {
    "none": None,
    "shift": functools.partial(random_shift_flip, flip=False),
    "shift_flip": random_shift_flip,
}


def augmentation(name: str) -> Callable | None:
    """Return an augmentation `function(images, rng)` by its name.

    Args:
        name: `"none"`, `"shift"` (up to an eighth of the
            size, reflected) or
            `"shift_flip"` (the same, and flips).

    Returns:
        The function, or `None` for `"none"`.

    Raises:
        ValueError: If the name is unknown.

    Example:
    >>> from keras_tricks.data.transforms import augmentation
    >>> augmentation("none") is None
    True
    """
    return _AUGMENTATIONS[check_choice("name", name, tuple(_AUGMENTATIONS))]
