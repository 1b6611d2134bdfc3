"""Whole JPEGs to pixels with simplejpeg, where that is installed."""

import functools
import importlib
from types import ModuleType

import numpy as np

from keras_tricks.data.transforms.jpeg_header import read_jpeg_header


def decode_plain_jpeg(data: bytes) -> np.ndarray | None:
    """Decode a plain JPEG with simplejpeg.

    It is the decoder of Pillow, libjpeg-turbo, with the exact inverse
    transform and smooth colors, so the pixels are those of `decode_image`,
    but they need no copy into an image of Pillow and out of it. What it
    refuses is left to Pillow, which decides what is damaged.

    Args:
        data: The bytes of a file.

    Returns:
        uint8, shape `(H, W, 3)`, or `None` where simplejpeg is missing, the
        file is no plain JPEG, see `read_jpeg_header`, or it is refused.

    Example:
    >>> decode_plain_jpeg(b"GIF89a") is None
    True
    """
    decoder = _simplejpeg()
    if decoder is None or read_jpeg_header(data) is None:
        return None
    try:
        return decoder.decode_jpeg(data, "RGB")
    except ValueError:
        return None


@functools.cache
def _simplejpeg() -> ModuleType | None:
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None
