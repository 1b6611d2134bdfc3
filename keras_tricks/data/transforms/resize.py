"""Resizes a crop to the size of training, with the fastest kernel there is."""

import functools
import importlib.util
import warnings

import numpy as np

from keras_tricks._checks import check_choice
from keras_tricks._image_size import ImageSize, check_size, sides_of
from keras_tricks._types import ImageLike
from keras_tricks.data.transforms.crops import (
    INTERPOLATIONS,
    check_image,
    import_pillow,
)

RESIZERS = ("auto", "pillow", "torch")
# The filters that torch has, and that it computes as Pillow does.
_OF_TORCH = ("bilinear", "bicubic")


def resize(
    image: ImageLike,
    size: ImageSize,
    interpolation: str = "bilinear",
    resizer: str = "pillow",
    flip: bool = False,
) -> np.ndarray:
    """Resize an image, whatever its aspect, to one size.

    Both kernels are antialiased, with the same weights. That of torch uses
    the processor's vectors: a third of the time. Some values differ by 1 of
    255, since the weights are rounded differently; of the bilinear filter none
    by more. The bicubic one leaves 0 ... 255 and is cut there after each axis:
    where an image is all edges, single values differ by more, 16 of noise.

    Args:
        image: uint8, shape `(h, w, 3)` or `(h, w, 1)`, or an image of Pillow.
        size: Side in pixels, or (height, width).
        interpolation: See `Preprocessing`.
        resizer: `"pillow"` (default), `"torch"`, or `"auto"`: torch's where it
            is installed and has the filter, for this processor.
        flip: Whether to mirror the result left to right, which costs less
            here than afterwards. Defaults to `False`.

    Returns:
        uint8, shape `(size, size, C)`, or `(height, width, C)`.

    Raises:
        ValueError: If an argument is not as described.
        ImportError: If Pillow, or torch if it is asked for, is missing.

    Example:
    >>> resize(np.zeros((5, 7, 3), "uint8"), 4).shape
    (4, 4, 3)
    >>> resize(np.zeros((5, 7, 3), "uint8"), (4, 6)).shape
    (4, 6, 3)
    """
    if not hasattr(image, "getbands"):  # As images of Pillow have.
        check_image(image)
    size = height, width = sides_of(check_size("size", size))
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    check_choice("resizer", resizer, RESIZERS)
    if resizer != "pillow" and _torch_resizes(interpolation, resizer):
        return _with_torch(np.asarray(image), size, interpolation, flip)
    pillow = import_pillow()
    if isinstance(image, np.ndarray):
        if image.shape[:2] == size:
            return _mirrored(image) if flip else image
        flat = image[..., 0] if image.shape[2] == 1 else image
        image = pillow.fromarray(np.ascontiguousarray(flat))
    filter_ = pillow.Resampling[interpolation.upper()]
    image = image.resize((width, height), filter_)
    if flip:
        image = image.transpose(pillow.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image).reshape(height, width, -1)


def _torch_resizes(interpolation, resizer):
    fast = _torch_is_fast()
    if resizer == "torch":
        check_choice("interpolation", interpolation, _OF_TORCH)
        return True
    return fast and interpolation in _OF_TORCH


@functools.cache
def _torch_is_fast():
    """Return whether torch is there with vectors for this processor."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    with warnings.catch_warnings():
        # Once, torch warns of memory that must not be written to.
        warnings.simplefilter("ignore")
        torch.from_numpy(np.frombuffer(b"0", "uint8"))
    return torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _with_torch(image, size, interpolation, flip):
    import torch

    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        resized = torch.nn.functional.interpolate(
            batch, size=size, mode=interpolation, antialias=True
        )
    result = resized[0].permute(1, 2, 0).numpy()
    return _mirrored(result) if flip else result


def _mirrored(image):
    """Return a copy, left to right: a channel at a time, NumPy is fastest.

    Other ops of torch would use threads of their own, which wait for each
    other where several images are in work.
    """
    mirrored = np.empty_like(image)
    for channel in range(image.shape[2]):
        mirrored[..., channel] = image[:, ::-1, channel]
    return mirrored
