import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import Preprocessing
from keras_tricks.data.sources.load_folder import load_folder
from keras_tricks.data.transforms import decode_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 4, 3), dtype="uint8")
GRAY = PIXELS[..., 0]
WIDE = RNG.integers(0, 65536, (6, 4), dtype="uint16")


def encode(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette():
    image = Image.fromarray(PIXELS).quantize(8)
    return image, np.asarray(image.convert("RGB"))


def transparent():
    alpha = np.zeros((6, 4, 1), "uint8")
    return Image.fromarray(np.concatenate([PIXELS, alpha], -1))


def sideways():
    """A file that says: turn me by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(Image.fromarray(PIXELS), exif=exif)


def cmyk():
    channels = np.zeros((16, 16, 4), "uint8")
    channels[..., 1] = 255  # Magenta.
    return Image.fromarray(channels, "CMYK")


REPEATED = np.repeat(GRAY[..., None], 3, axis=2)
SCALED = np.rint(WIDE / 257).astype("uint8")
FILES = {
    "rgb": (encode(Image.fromarray(PIXELS)), PIXELS),
    "gray": (encode(Image.fromarray(GRAY)), REPEATED),
    "bilevel": (
        encode(Image.fromarray(GRAY > 127)),
        np.where(REPEATED > 127, 255, 0),
    ),
    "palette": (encode(palette()[0]), palette()[1]),
    "palette with transparency": (
        encode(palette()[0], transparency=0),
        palette()[1],
    ),
    "rgba": (encode(transparent()), PIXELS),
    "gray and alpha": (encode(Image.fromarray(GRAY).convert("LA")), REPEATED),
    "16 bits": (
        encode(Image.fromarray(WIDE)),
        np.repeat(SCALED[..., None], 3, axis=2),
    ),
    "16 bits, tif": (
        encode(Image.fromarray(WIDE), "tiff"),
        np.repeat(SCALED[..., None], 3, axis=2),
    ),
    "32 bits of 16": (
        encode(Image.fromarray(WIDE.astype("int32")), "tiff"),
        np.repeat(SCALED[..., None], 3, axis=2),
    ),
    "gif": (
        encode(
            palette()[0], "gif", save_all=True, append_images=[palette()[0]]
        ),
        palette()[1],
    ),
    "rotated": (sideways(), np.rot90(PIXELS, -1)),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_become_rgb(name):
    data, expected = FILES[name]
    image = decode_image(data)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def test_16_bits_of_color_are_cut_off():
    """As the docstring says; Pillow cannot write such a file."""
    pixels = RNG.integers(0, 65536, (6, 4, 3), dtype="uint16")
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in (
        (b"IHDR", struct.pack(">IIBBBBB", 4, 6, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        check = zlib.crc32(kind + content)
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", check)
    np.testing.assert_array_equal(decode_image(data), pixels >> 8)


@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_cmyk(kind):
    image = decode_image(encode(cmyk(), kind))
    assert image.shape == (16, 16, 3)
    np.testing.assert_allclose(image, [[[255, 0, 255]] * 16] * 16, atol=3)


BAD = {
    "empty": b"",
    "text": b"not an image",
    "cut": FILES["rgb"][0][:-30],
    "cut jpeg": encode(Image.fromarray(PIXELS).resize((64, 64)), "jpeg")[:900],
    "damaged": FILES["rgb"][0].replace(b"IDAT", b"IDAX"),
    "floats": encode(Image.fromarray(WIDE.astype("float32")), "tiff"),
    "32 bits": encode(Image.fromarray(WIDE.astype("int32") * 9999), "tiff"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_decoded_is_named(name, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(BAD[name])
    for source, told in ((path, path), (BAD[name], "sample 3")):
        with pytest.raises(ValueError) as caught:
            decode_image(source, None if source is path else told)
        message = str(caught.value)
        assert message.startswith(f"{told}: ")
        assert len(message.splitlines()) == 1 and len(message) > len(str(told))
        assert "object at" not in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothere.png: .*No such file"):
        decode_image(tmp_path / "nothere.png")


def test_folders_are_read_in_the_same_way(tmp_path):
    image = RNG.integers(0, 256, (40, 57, 3), dtype="uint8")
    wide = RNG.integers(0, 65536, (40, 57), dtype="uint16")
    for name, pixels in (("a", image), ("b", wide)):
        (tmp_path / name).mkdir()
        for i in range(2):
            file = tmp_path / name / f"{i}.png"
            Image.fromarray(pixels).save(file)
    data = load_folder(tmp_path, image_size=16, test_share=0.5)
    transform = Preprocessing(16, crop_ratio=1.0).transform
    for name, x in zip("ab", data.x_train, strict=True):
        expected = transform(decode_image(tmp_path / name / "0.png"))
        np.testing.assert_array_equal(x, expected)
