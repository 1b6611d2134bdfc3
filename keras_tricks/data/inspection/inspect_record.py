"""What one record of a data set holds: facts of an image, or a damage."""

import dataclasses
import hashlib
import io
import numbers
import os
import struct

import numpy as np

from keras_tricks._checks import first_line
from keras_tricks._text import printable
from keras_tricks.data.sources.labels import (
    LabelError,
    has_several,
    is_label,
)
from keras_tricks.data.sources.records import Records
from keras_tricks.data.transforms.crops import import_pillow, to_channels
from keras_tricks.data.transforms.decode import (
    SUFFIXES,
    image_formats,
    open_image,
)

DAMAGES = (
    "unreadable",
    "empty",
    "cut off",
    "no image",
    "too many pixels",
    "label",
    "other",
)
"""What can be wrong with a record, so that training cannot use it."""

ODDITIES = (
    "gray",
    "CMYK",
    "palette",
    "16 bits",
    "unused bits",
    "transparent",
    "animated",
    "turned",
    "other format",
    "tiny",
    "huge",
    "long",
)
"""What can be unusual about an image that training does use."""

TINY, HUGE, LONG = 32, 20_000_000, 4
# Of 16 bits, one that uses 14 or less is at most this bright of 255.
_DARK = 64

_ORIENTATION = 0x0112
_LEVELS = np.arange(256.0)
# A thumbnail with fewer steps between its pixels than this has too little in
# it to be told apart from others: a flat image, a digit on black paper.
_STEP, _LEAST_STEPS = 2, 48


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What an image is like.

    Args:
        label: Its class, or 0 and 1, shape `(K,)`.
        height: In pixels, upright.
        width: In pixels, upright.
        size: Bytes of the file, or of the pixels.
        format: As Pillow calls it, or `"array"`.
        odd: Which of `ODDITIES` it has.
        pixel_hash: The same for the same decoded pixels.
        look_hash: `difference_hash` of it, or 0 if there is little in it.
        mean: Mean of each channel of RGB, 0 ... 255.
        square: Mean of the squares.
    """

    label: int | np.ndarray
    height: int
    width: int
    size: int
    format: str
    odd: tuple[str, ...]
    pixel_hash: int
    look_hash: int
    mean: np.ndarray
    square: np.ndarray


@dataclasses.dataclass(frozen=True)
class BadRecord:
    """A record that training cannot use.

    Args:
        split: `"train"` or `"test"`.
        index: Its number in the split.
        name: What the source calls it.
        kind: One of `DAMAGES`.
        reason: What the reader or the decoder says.

    Example:
    >>> BadRecord("train", 0, "cat/1.jpg", "empty", "the file is empty").kind
    'empty'
    """

    split: str
    index: int
    name: str
    kind: str
    reason: str


class _Damage(Exception):
    """Kind and reason."""


def inspect_record(
    records: Records, index: int, split: str = "train"
) -> ImageFacts | BadRecord:
    """Read and decode a record, and say what it is like; never fails.

    Args:
        records: The source.
        index: Number of the record.
        split: What the source is called in a `BadRecord`.

    Returns:
        An `ImageFacts`, or a `BadRecord` if training cannot use it.

    Example:
    >>> from keras_tricks.data import ArrayRecords
    >>> records = ArrayRecords(
    ...     np.zeros((1, 40, 50, 1), "uint8"), np.array([1]), ("a", "b")
    ... )
    >>> facts = inspect_record(records, 0)
    >>> facts.height, facts.width, facts.format, facts.odd
    (40, 50, 'array', ('gray',))
    """
    name = f"record {index}"
    # Whatever a source or a decoder does to a record, the others count.
    try:
        name = printable(str(records.name(index)))
        return _inspect(records, index, name)
    except _Damage as damage:
        kind, reason = damage.args
    except Exception as error:
        kind, reason = "other", error
    reason = first_line(reason) if isinstance(reason, Exception) else reason
    reason = reason.removeprefix(f"{name}: ")
    return BadRecord(split, index, name, kind, reason)


def _inspect(records, index, name):
    try:
        data, label = records.record(index)
    except LabelError as error:
        raise _Damage("label", error) from None
    except (ValueError, OSError) as error:
        raise _Damage("unreadable", error) from None
    if isinstance(data, bytes):
        size, (image, kind, odd) = len(data), _decode(data, name)
    else:
        image = import_pillow().fromarray(to_channels(data, 3))
        size, kind = data.nbytes, "array"
        odd = {"gray"} if data.shape[-1] == 1 else set()
    classes = len(records.class_names)
    several = has_several(records)
    of_kind = np.ndim(label) if several else isinstance(label, numbers.Integral)
    if not of_kind or not is_label(label, classes):
        what = f"{classes} of 0 and 1" if several else f"in 0 ... {classes - 1}"
        raise _Damage("label", f"the label must be {what}, not {label}")
    width, height = image.size
    odd |= _odd_sizes(height, width)
    brightest = max(high for _, high in image.getextrema())
    if "16 bits" in odd and brightest <= _DARK:
        odd.add("unused bits")
    shares = np.reshape(image.histogram(), (3, 256)) / (height * width)
    return ImageFacts(
        label=label if several else int(label),
        height=height,
        width=width,
        size=size,
        format=kind,
        odd=tuple(name for name in ODDITIES if name in odd),
        pixel_hash=_pixel_hash(image),
        look_hash=difference_hash(image),
        mean=shares @ _LEVELS,
        square=shares @ _LEVELS**2,
    )


def _decode(data, name):
    """Decode a file to RGB; return its format and what is odd about it too."""
    pillow = import_pillow()
    if not data:
        raise _Damage("empty", "the file is empty")
    try:
        image = open_image(data, name)
    except ValueError as error:
        raise _Damage(_kind_of_damage(data, error), error) from None
    with pillow.open(io.BytesIO(data), formats=image_formats()) as header:
        try:
            return image, header.format, _odd_contents(header, data, name)
        except Exception:  # Metadata that training does not look at.
            return image, header.format, set()


def _kind_of_damage(data, error):
    pillow = import_pillow()
    kind = "other"
    try:
        pillow.open(io.BytesIO(data), formats=image_formats()).close()
    except pillow.UnidentifiedImageError:
        kind = "no image"
    except pillow.DecompressionBombError:
        return "too many pixels"
    except Exception:
        pass
    if _ends_early(data) or "truncated" in str(error).lower():
        return "cut off"
    return kind


def _odd_contents(image, data, name):
    odd = set()
    mode, info = image.mode, image.info
    if mode.startswith(("1", "L", "I", "F")):
        odd.add("gray")
    if mode == "CMYK":
        odd.add("CMYK")
    if mode.startswith("P"):
        odd.add("palette")
    # Pillow's mode of a PNG with 16 bits in each of several channels is RGB.
    if mode.startswith("I") or (image.format == "PNG" and data[24] == 16):
        odd.add("16 bits")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in info:
        odd.add("transparent")
    # The second picture of an MPO is a smaller one for another screen.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        odd.add("animated")
    if image.getexif().get(_ORIENTATION) in range(2, 9):
        odd.add("turned")
    expected = SUFFIXES.get(os.path.splitext(name)[1].lower())
    own = "JPEG" if image.format == "MPO" else image.format
    if expected not in (None, own):
        odd.add("other format")
    return odd


def _odd_sizes(height, width):
    short, long = sorted((height, width))
    odd = {
        "tiny": short < TINY,
        "huge": height * width > HUGE,
        "long": long > LONG * short,
    }
    return {name for name, is_odd in odd.items() if is_odd}


def _pixel_hash(image):
    state = hashlib.blake2b(struct.pack("<QQ", *image.size), digest_size=8)
    state.update(image.tobytes())
    return int.from_bytes(state.digest(), "little")


def difference_hash(image) -> int:
    """Hash an image so that resizing and compression keep the number.

    Of a gray thumbnail of 8 rows and 9 columns, whether each pixel is
    brighter than the one on its left: 64 bits.

    Args:
        image: A `PIL.Image.Image`.

    Returns:
        An integer below 2^64; 0 of an image with little in it.

    Example:
    >>> from PIL import Image
    >>> x = np.random.default_rng(0).integers(0, 256, (8, 9), "uint8")
    >>> small = Image.fromarray(x)
    >>> large = small.resize((90, 80), Image.Resampling.NEAREST)
    >>> difference_hash(small) == difference_hash(large) != 0
    True
    """
    box = import_pillow().Resampling.BOX
    small = np.asarray(image.convert("L").resize((9, 8), box))
    steps = np.diff(small.astype("int16"), axis=1)
    if np.count_nonzero(abs(steps) >= _STEP) < _LEAST_STEPS:
        return 0
    bits = np.packbits(steps > 0)
    return int.from_bytes(bits.tobytes(), "big")


def _ends_early(data):
    """Say whether a file of a known format ends before the format's end."""
    if data[:2] == b"\xff\xd8":
        # Some writers pad what follows the end.
        return b"\xff\xd9" not in data[-64:]
    if data[:4] == b"\x89PNG":
        return b"IEND" not in data[-64:]
    if data[:4] == b"GIF8":
        return not data.rstrip(b"\0").endswith(b";")
    if data[:4] == b"RIFF":
        return len(data) < 8 or _uint32(data, 4) + 8 > len(data)
    if data[:2] == b"BM":
        return len(data) < 6 or _uint32(data, 2) > len(data)
    return False


def _uint32(data, place):
    return struct.unpack_from("<I", data, place)[0]
