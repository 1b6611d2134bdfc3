"""Resizing and cropping of one decoded image."""

import importlib

import numpy as np

from keras_tricks._checks import check_choice, check_int

# Names of Pillow's filters; all but `nearest` are antialiased.
INTERPOLATIONS = (
    "nearest",
    "box",
    "bilinear",
    "hamming",
    "bicubic",
    "lanczos",
)


def resize_short_side(
    image: np.ndarray, short_side: int, interpolation: str = "bilinear"
) -> np.ndarray:
    """Resize an image so that its short side has a given length.

    Formula: `short -> S, long -> floor(S * long / short)`.

    Args:
        image: uint8, shape `(H, W, 3)` or `(H, W, 1)`.
        short_side: S in pixels.
        interpolation: See `Preprocessing`.

    Returns:
        uint8, of the same number of channels; the same array if the size is
        right already.

    Raises:
        ValueError: If an argument is not as described, or the result would
            be larger than Pillow allows an image to be.
        ImportError: If Pillow is missing.

    Example:
    >>> resize_short_side(np.zeros((30, 47, 3), "uint8"), 16).shape
    (16, 25, 3)
    """
    check_image(image)
    check_int("short_side", short_side, 1)
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    height, width = image.shape[:2]
    short = min(height, width)
    new = [short_side * side // short for side in (height, width)]
    if (height, width) == tuple(new):
        return image
    pillow = import_pillow()
    most = pillow.MAX_IMAGE_PIXELS
    if most is not None and new[0] * new[1] > most:
        raise ValueError(
            f"`image` must not become larger than {most} pixels. Received: "
            f"image.shape={image.shape}, short_side={short_side}"
        )
    filter_ = pillow.Resampling[interpolation.upper()]
    flat = image[..., 0] if image.shape[2] == 1 else image
    resized = pillow.fromarray(flat).resize(new[::-1], filter_)
    return np.asarray(resized).reshape(*new, image.shape[2])


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Crop the middle of an image.

    Formula: the first row is `round((H - size) / 2)`, the first column
    `round((W - size) / 2)`; halves go to the even number.

    Args:
        image: Shape `(H, W, C)`, at least `size` in height and width.
        size: Side in pixels.

    Returns:
        A part of `image`, of shape `(size, size, C)`.

    Raises:
        ValueError: If the image is smaller.

    Example:
    >>> center_crop(np.arange(15).reshape(3, 5, 1), 1).item()
    7
    """
    top, left = (round((side - size) / 2) for side in image.shape[:2])
    return _crop(image, top, left, size)


def ten_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Cut the corners and the middle out of an image and its mirror image.

    Args:
        image: Shape `(H, W, C)`, at least `size` in height and width.
        size: Side of a crop in pixels.

    Returns:
        A new array of shape `(10, size, size, C)`: top left, top right,
        bottom left, bottom right, middle, then the same crops flipped left
        to right.

    Raises:
        ValueError: If the image is smaller.

    Example:
    >>> ten_crop(np.arange(9).reshape(3, 3, 1), 1).ravel().tolist()
    [0, 2, 6, 8, 4, 0, 2, 6, 8, 4]

    Reference:
        - Krizhevsky et al., 2012, section 4.1
    """
    bottom, right = (side - size for side in image.shape[:2])
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    four = [_crop(image, top, left, size) for top, left in corners]
    five = np.stack([*four, center_crop(image, size)])
    return np.concatenate([five, five[:, :, ::-1]])


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Make an RGB image gray, or the reverse.

    Formula: `L = 0.299 R + 0.587 G + 0.114 B`, rounded as Pillow does.

    Args:
        image: uint8, shape `(H, W, 3)`, `(H, W, 1)` or `(H, W)`.
        channels: 3 or 1.

    Returns:
        uint8, shape `(H, W, channels)`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> to_channels(np.full((2, 2), 7, "uint8"), 3)[0, 0].tolist()
    [7, 7, 7]
    """
    check_choice("channels", channels, (1, 3))
    if getattr(image, "ndim", None) == 2:
        image = image[..., None]
    check_image(image)
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    gray = import_pillow().fromarray(image).convert("L")
    return np.asarray(gray)[..., None]


def import_pillow():
    """Return the module PIL.Image.

    Raises:
        ImportError: If Pillow is missing; the message says what to install.
    """
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ImportError(
            "Image files need Pillow: pip install 'keras_tricks[data]'"
        ) from error


def _crop(image, top, left, size):
    check_int("size", size, 1)
    height, width = image.shape[:2]
    if size > min(height, width):
        raise ValueError(
            f"`size` must not exceed the image, {height} x {width}. "
            f"Received: size={size}"
        )
    return image[top : top + size, left : left + size]


def check_image(image: np.ndarray) -> None:
    """Check that an image is uint8, gray or RGB.

    Raises:
        ValueError: If it is not.
    """
    right = getattr(image, "dtype", None) == np.uint8 and image.ndim == 3
    if not right or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(
            "`image` must be uint8 of shape (H, W, 3) or (H, W, 1). Received: "
            f"image.dtype={getattr(image, 'dtype', type(image).__name__)}, "
            f"image.shape={np.shape(image)}"
        )
