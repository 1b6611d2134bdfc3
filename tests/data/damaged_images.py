"""Every way in which the files of an image folder go wrong."""

import io
import os

import numpy as np
from PIL import Image


def photo(seed, height=60, width=80):
    """A smooth picture of its own, as uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), "uint8"))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encode(image, kind="jpeg", **options):
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(photo(1), exif=exif)


def _animated():
    frames = [Image.fromarray(photo(i)) for i in (2, 3)]
    return encode(frames[0], "gif", save_all=True, append_images=frames[1:])


def _deep():
    return encode(
        Image.fromarray((photo(4)[..., 0].astype("uint16") + 1) * 200), "png"
    )


def readable():
    """Odd files that hold an image all the same, by name."""
    return {
        "cmyk.jpg": encode(Image.fromarray(photo(5)).convert("CMYK")),
        "gray.jpg": encode(Image.fromarray(photo(6)).convert("L")),
        "deep.png": _deep(),
        "animated.gif": _animated(),
        "turned.jpg": _turned(),
        "png_inside.jpg": encode(photo(7), "png"),
        "jpeg_inside.png": encode(photo(8)),
        "one_pixel.png": encode(photo(9, 1, 1), "png"),
        "one_pixel.jpg": encode(photo(9, 1, 1)),
        "long.png": encode(np.zeros((2, 20000, 3), "uint8"), "png"),
        "palette.png": encode(Image.fromarray(photo(10)).quantize(16), "png"),
        "progressive.jpg": encode(photo(11), progressive=True),
    }


def unreadable():
    """Files that hold none, by name; None is a link to nowhere."""
    whole = encode(photo(12), quality=95)
    return {
        "cut.jpg": whole[: len(whole) // 2],
        "cut_at_the_end.jpg": whole[:-30],
        "cut.png": encode(photo(13), "png")[:-2000],
        "empty.jpg": b"",
        "text.jpg": b"<html>404</html>",
        "header_only.jpg": whole[:20],
        "huge.png": _claims_to_be_huge(),
        "lost.jpg": None,
    }


def _claims_to_be_huge():
    """A PNG whose header says 20,000 x 20,000: more than one may hold."""
    data = bytearray(encode(np.zeros((1, 1), "uint8"), "png"))
    data[16:24] = (20000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def write(folder, files):
    """Writes files into a folder; returns their paths."""
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        path = os.path.join(folder, name)
        if data is None:
            os.symlink("/nowhere/at/all", path)
        else:
            with open(path, "wb") as file:
                file.write(data)


def damaged_folder(root, good=30):
    """Two classes, train and val, with every kind of file among good ones.

    Returns:
        Names of the readable and of the unreadable training files.
    """
    for part, count in (("train", good), ("val", 6)):
        for label, name in enumerate(("cat", "dog")):
            photos = {
                f"{i:03}.jpg": encode(photo(100 * label + i))
                for i in range(count)
            }
            write(f"{root}/{part}/{name}", photos)
    write(f"{root}/train/cat", readable())
    write(f"{root}/train/dog", unreadable())
    bad = {f"train/dog/{name}" for name in unreadable()}
    fine = {f"train/cat/{name}" for name in readable()}
    fine |= {
        f"train/{name}/{i:03}.jpg"
        for name in ("cat", "dog")
        for i in range(good)
    }
    return fine, bad
