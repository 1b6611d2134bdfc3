"""Image files of any kind to RGB pixels."""

import importlib
import io
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_tricks.data.transforms.crops import import_pillow

if TYPE_CHECKING:
    import PIL.Image

# A file is an image by its name; what it holds decides how it is decoded.
SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


def decode_image(
    source: str | os.PathLike | bytes, name: str | None = None
) -> np.ndarray:
    """Decode an image file to RGB, upright.

    The orientation of the camera (EXIF) is applied. Gray becomes three equal
    channels, a palette its colors, CMYK RGB without a color profile. 16 bits
    become 8 by `round(value / 257)`. Transparency is left out: the colors
    under it count. Of an animation the first picture is taken.

    Args:
        source: A path, or the bytes of a file.
        name: What errors call the image. Defaults to the path.

    Returns:
        uint8, shape `(H, W, 3)`.

    Raises:
        ValueError: If it is damaged, cut off, no image, or of floats; the
            message names the file.
        ImportError: If Pillow is missing.

    Example:
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 2), 7).save(file, "png")
    >>> decode_image(file.getvalue())[0, 0].tolist()
    [7, 7, 7]
    """
    return np.asarray(open_image(source, name))


def open_image(
    source: str | os.PathLike | bytes, name: str | None = None
) -> "PIL.Image.Image":
    """Decode an image file as `decode_image` does, to an image of Pillow.

    Cutting a part out of it costs less than out of an array.

    Args:
        source: A path, or the bytes of a file.
        name: What errors call the image. Defaults to the path.

    Returns:
        A `PIL.Image.Image` in mode `"RGB"`, upright and in memory.

    Raises:
        ValueError: As `decode_image`.
        ImportError: If Pillow is missing.

    Example:
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 2)).save(file, "png")
    >>> open_image(file.getvalue()).mode
    'RGB'
    """
    pillow = import_pillow()
    pillow_ops = importlib.import_module("PIL.ImageOps")
    if name is None:
        name = "image" if isinstance(source, bytes) else os.fspath(source)
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    # Decoders of damaged files fail in many ways, all of them the file's.
    try:
        with pillow.open(file) as image:
            pillow_ops.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except pillow.UnidentifiedImageError:
        # Pillow's own words name an object in memory, not the file.
        raise ValueError(f"{name}: no image of a known format") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name}: {reason}") from None


def _to_rgb(image):
    if image.mode.startswith(("I", "F")):
        gray = np.asarray(image)
        if image.mode == "F" or gray.min() < 0 or gray.max() > 65535:
            raise ValueError(
                f"pixels must have 8 or 16 bits. Received: mode {image.mode}"
            )
        # (v + 128) // 257 is v / 257, rounded.
        gray = ((gray.astype("int64") + 128) // 257).astype("uint8")
        return import_pillow().fromarray(gray).convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
