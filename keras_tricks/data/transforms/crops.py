"""Resizing and cropping of one decoded image."""

import importlib

import numpy as np

from keras_tricks._checks import check_choice
from keras_tricks._image_size import ImageSize, check_size, sides_of

# Names of Pillow's filters; all but `nearest` are antialiased.
INTERPOLATIONS = (
    "nearest",
    "box",
    "bilinear",
    "hamming",
    "bicubic",
    "lanczos",
)

FILL = (124, 116, 104)
"""Mean color of ImageNet, which normalization makes 0."""
FILLS = {3: FILL, 1: (117,)}
"""That color by the number of channels: of one its luma."""


def resize_to_cover(
    image: np.ndarray, size: ImageSize, interpolation: str = "bilinear"
) -> np.ndarray:
    """Resize an image, its aspect kept, so that it just covers a size.

    Formula, of H x W pixels to cover h x w: one side becomes exact, the other
    is rounded down,

        w H <= h W:  H -> h,  W -> floor(h W / H)
        otherwise:   W -> w,  H -> floor(w H / W)

    With one side S, the short side of the result is S.

    Args:
        image: uint8, shape `(H, W, 3)` or `(H, W, 1)`.
        size: Side in pixels, or (h, w).
        interpolation: See `Preprocessing`.

    Returns:
        uint8, of the same number of channels; the same array if the size is
        right already.

    Raises:
        ValueError: If an argument is not as described, or the result would
            be larger than Pillow allows an image to be.
        ImportError: If Pillow is missing.

    Example:
    >>> image = np.zeros((30, 47, 3), "uint8")
    >>> resize_to_cover(image, (16, 40)).shape
    (25, 40, 3)
    """
    check_image(image)
    h, w = sides_of(check_size("size", size))
    height, width = image.shape[:2]
    new = (h, h * width // height)
    if w * height > h * width:
        new = (w * height // width, w)
    return scale_to(image, new, interpolation)


def scale_to(
    image: np.ndarray, size: tuple[int, int], interpolation: str
) -> np.ndarray:
    """Resize an image to height and width with a filter of Pillow.

    Raises:
        ValueError: If the filter is none, or the result would be larger than
            Pillow allows an image to be.
        ImportError: If Pillow is missing.
    """
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    if image.shape[:2] == size:
        return image
    pillow = import_pillow()
    most = pillow.MAX_IMAGE_PIXELS
    if most is not None and size[0] * size[1] > most:
        raise ValueError(
            f"`image` must not become larger than {most} pixels. Received: "
            f"image.shape={image.shape}, {size[0]} x {size[1]} of it"
        )
    filter_ = pillow.Resampling[interpolation.upper()]
    flat = image[..., 0] if image.shape[2] == 1 else image
    resized = pillow.fromarray(flat).resize(size[::-1], filter_)
    return np.asarray(resized).reshape(*size, image.shape[2])


def center_crop(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """Crop the middle of an image.

    Formula, for h x w: the first row is `round((H - h) / 2)`, the first
    column `round((W - w) / 2)`; halves go to the even number.

    Args:
        image: Shape `(H, W, C)`, at least `size` in height and width.
        size: Side in pixels, or (h, w).

    Returns:
        A part of `image`, of shape `(size, size, C)`, or `(h, w, C)`.

    Raises:
        ValueError: If the image is smaller.

    Example:
    >>> center_crop(np.arange(15).reshape(3, 5, 1), 1).item()
    7
    """
    h, w = sides_of(check_size("size", size))
    top, left = round((image.shape[0] - h) / 2), round((image.shape[1] - w) / 2)
    return _crop(image, top, left, h, w)


def ten_crop(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """Cut the corners and the middle out of an image and its mirror image.

    Args:
        image: Shape `(H, W, C)`, at least `size` in height and width.
        size: Side of a crop in pixels, or (h, w).

    Returns:
        A new array of shape `(10, h, w, C)`: top left, top right,
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
    h, w = sides_of(check_size("size", size))
    bottom, right = image.shape[0] - h, image.shape[1] - w
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    four = [_crop(image, top, left, h, w) for top, left in corners]
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


def _crop(image, top, left, h, w):
    height, width = image.shape[:2]
    if h > height or w > width:
        raise ValueError(
            f"`size` must not exceed the image, {height} x {width}. "
            f"Received: size={h if h == w else (h, w)}"
        )
    return image[top : top + h, left : left + w]


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
