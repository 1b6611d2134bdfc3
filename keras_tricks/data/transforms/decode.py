"""Image files of any kind to RGB pixels."""

import functools
import importlib
import io
import os
import warnings
from typing import IO, TYPE_CHECKING

import numpy as np

from keras_tricks._checks import first_line
from keras_tricks._files import read_regular
from keras_tricks._text import printable
from keras_tricks.data.transforms.crops import import_pillow

if TYPE_CHECKING:
    import PIL.Image

_SUFFIXES = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif"),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "JPEG2000": (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx"),
    "PNG": (".apng", ".png"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
SUFFIXES = {
    suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes
}
"""How the names of images end, and their formats as Pillow calls them."""

# What Pillow may have been built without.
_CODECS = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}


@functools.cache
def image_formats() -> tuple[str, ...]:
    """Return the formats that are decoded, those of `SUFFIXES` at most.

    No others are opened, whatever a file is called: some decoders of Pillow
    start programs. AVIF, JPEG 2000 and WebP are there if Pillow was built
    with them, HEIF if the package pillow-heif is installed.

    Returns:
        Names as Pillow has them.

    Raises:
        ImportError: If Pillow is missing.

    Example:
    >>> {"JPEG", "PNG", "TIFF"} <= {*image_formats()}, "EPS" in image_formats()
    (True, False)
    """
    pillow = import_pillow()
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        pass
    pillow.init()
    built = importlib.import_module("PIL.features").get_supported()
    return tuple(
        name
        for name in _SUFFIXES
        if name in pillow.OPEN and _CODECS.get(name, "pil") in built
    )


def holds_image(file: str | os.PathLike | IO[bytes]) -> bool:
    """Tell by its content whether a file is an image that is decoded.

    Args:
        file: A path, or an open file. Only its beginning is read.

    Example:
    >>> import io
    >>> holds_image(io.BytesIO(b"Remember to buy milk."))
    False
    """
    pillow = import_pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pillow.open(file, formats=image_formats()).close()
    except pillow.DecompressionBombError:
        return True
    except Exception:  # Of a decoder that takes it for its own at first.
        return False
    return True


def image_suffix(data: bytes) -> str:
    """Return how the name of an image file ends, by its content.

    Args:
        data: The bytes of a file that can be decoded.

    Example:
    >>> import io
    >>> file = io.BytesIO()
    >>> import_pillow().new("L", (4, 2)).save(file, "gif")
    >>> image_suffix(file.getvalue())
    '.gif'
    """
    pillow = import_pillow()
    with pillow.open(io.BytesIO(data), formats=image_formats()) as image:
        return _SUFFIXES.get(image.format, _SUFFIXES["JPEG"])[-1]


def decode_image(
    source: str | os.PathLike | bytes, name: str | None = None
) -> np.ndarray:
    """Decode an image file to RGB, upright.

    The orientation of the camera (EXIF) is applied. Gray becomes three equal
    channels, a palette its colors, CMYK RGB without a color profile. 16 bits
    of gray become 8 by `round(value / 257)`, so that 65535 is white, however
    few of the bits are used; 16 bits of color by `value >> 8`, as Pillow
    reads them. Transparency is left out: the colors under it count. Of an
    animation the first picture is taken.

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
    name = printable(name)
    # Decoders of damaged files fail in many ways, all of them the file's.
    try:
        data = source if isinstance(source, bytes) else read_regular(source)
        file = io.BytesIO(data)
        with pillow.open(file, formats=image_formats()) as image:
            pillow_ops.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except pillow.UnidentifiedImageError:
        # Pillow's own words name an object in memory, not the file.
        raise ValueError(f"{name}: no image of a known format") from None
    except Exception as error:
        raise ValueError(f"{name}: {first_line(error)}") from None


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
