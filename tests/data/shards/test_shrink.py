"""Large images become small JPEGs in shards, and nothing else changes."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import (
    inspect_images,
    open_folder_splits,
    open_images,
    verify_shards,
    write_shards,
)
from keras_tricks.data.shards import shrink as shrinking
from keras_tricks.data.shards.shrink import Shrink
from keras_tricks.data.transforms import decode_image
from keras_tricks.data.transforms.crops import resize_to_cover
from keras_tricks.report import verdicts

from .test_write import FORMATS, contents, files_in, open_shards

LARGE, SMALL = (60, 40), (30, 16)


def pixels(width, height):
    """Something smooth in color that differs in every quarter."""
    y, x = np.mgrid[:height, :width] / 64
    return (255 * np.stack([x, y, 1 - x], -1).clip(0, 1)).astype("uint8")


def saved(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def root(tmp_path):
    """A large JPEG, a large PNG and six small JPEGs in each class."""
    for name in ("ant", "bee"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for i in range(8):
            image = Image.fromarray(pixels(*(LARGE if i < 2 else SMALL)))
            image.save(folder / f"{i}.{'png' if i == 1 else 'jpg'}")
    return tmp_path / "images"


def splits_of(root):
    train, test = open_folder_splits(root, test_share=0.25)
    return {"train": train, "val": test}


@pytest.mark.parametrize("format_", FORMATS)
def test_large_images_and_no_others_are_resized(root, tmp_path, format_):
    if format_ != "webdataset":
        pytest.importorskip(
            {"tfrecord": "tensorflow"}.get(format_, "array_record")
        )
    splits, out = splits_of(root), tmp_path / "out"
    options = {"format": format_, "shards": 2, "max_side": 16, "quality": 80}
    written = write_shards(splits, out, **options)
    sizes = {True: [], False: []}
    for split, files in zip(("train", "test"), splits.values(), strict=True):
        records = open_shards(out, format_, split)
        found = contents(records)
        assert records.max_side == 16
        assert records.index.shrink == Shrink(16, 80)
        for i in range(len(files)):
            data, label = files.record(i)
            height, width, _ = decode_image(data).shape
            stored = Shrink(16, 80)(data)
            assert (stored, label) in found
            large = (width, height) == LARGE
            assert (stored == data) != large
            assert (
                decode_image(stored).shape[:2]
                == ((16, 24), (16, 30))[1 - large]
            )
            sizes[large].append((len(data), len(stored)))
    before, after = np.sum(sizes[True], 0) / 1e6
    assert written.records == 16 and written.resized == 4
    assert written.megabytes_before == pytest.approx(before)
    assert written.megabytes_after == pytest.approx(after)
    plan = json.loads((out / "plan.json").read_text())
    assert (plan["max_side"], plan["quality"]) == (16, 80)
    assert verify_shards(splits, out, format_) == 16
    again = write_shards(splits, out, **options)
    assert again.kept == len(again.shards)
    assert (again.resized, again.megabytes_after) == (
        written.resized,
        written.megabytes_after,
    )
    if format_ != "array_record":  # Which writes a different header each time.
        write_shards(splits, tmp_path / "second", **options)
        assert files_in(out) == files_in(tmp_path / "second")
    if format_ == "webdataset":
        names = [records.name(i) for i in range(len(records))]
        assert all(name.endswith(".jpg") for name in names)


@pytest.mark.parametrize(
    "change",
    [{"max_side": 15}, {"quality": 81}, {"max_side": None, "quality": None}],
)
def test_another_size_is_another_plan(root, tmp_path, change, monkeypatch):
    splits, out = splits_of(root), tmp_path / "out"
    options = {"format": "webdataset", "max_side": 16, "quality": 80}
    write_shards(splits, out, **options)
    before = files_in(out)
    with pytest.raises(ValueError, match="`folder` must .* of another plan$"):
        write_shards(splits, out, **{**options, **change})
    assert files_in(out) == before
    write_shards(splits, tmp_path / "plain", "webdataset")
    with pytest.raises(ValueError, match="`folder` must .* of another plan$"):
        write_shards(splits, tmp_path / "plain", **options)


def test_another_encoder_is_named(root, tmp_path, monkeypatch):
    splits, out = splits_of(root), tmp_path / "out"
    options = {"format": "webdataset", "max_side": 16}
    write_shards(splits, out, **options)
    encoder = "Pillow 1.0, jpg 6"
    for module in (shrinking, verify_shards.__globals__):
        where = module if isinstance(module, dict) else vars(module)
        monkeypatch.setitem(where, "installed_encoder", lambda: encoder)
    with pytest.raises(ValueError, match="Pillow .* Received: Pillow 1.0"):
        verify_shards(splits, out, "webdataset")


def test_damage_in_a_resized_image_is_found(root, tmp_path):
    splits, out = splits_of(root), tmp_path / "out"
    write_shards(splits, out, "webdataset", shards=1, max_side=16)
    records = open_shards(out, "webdataset", "train")
    large = records.index.offset[
        [
            Image.open(io.BytesIO(records.record(i)[0])).size == (24, 16)
            for i in range(len(records))
        ]
    ][0]
    path = out / "train-000000.tar"
    data = bytearray(path.read_bytes())
    data[large + 200] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="its bytes must be those of"):
        verify_shards(splits, out, "webdataset")


def test_the_check_of_data_says_it(root, tmp_path):
    write_shards(splits_of(root), tmp_path / "out", "webdataset", max_side=16)
    report = inspect_images(open_images(data_dir=tmp_path / "out"))
    assert report.max_side == report.to_dict()["max_side"] == 16
    assert any("above 16 pixels were resized" in s for s in verdicts(report))
    report = inspect_images(open_images(data_dir=root))
    assert report.max_side is None
    assert not any("resized" in line for line in verdicts(report))


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (17, 50), (40, 40)])
def test_the_short_side_is_exact_and_pixels_are_near(size):
    image = pixels(*size)
    small = decode_image(Shrink(16, 95)(saved(Image.fromarray(image))))
    expected = resize_to_cover(image, 16, "bicubic")
    assert small.shape == expected.shape and min(small.shape[:2]) == 16
    assert np.abs(small.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (3, 2), (900, 15)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif"])
def test_what_is_small_keeps_its_very_bytes(size, kind):
    data = saved(Image.fromarray(pixels(*size)), kind)
    assert Shrink(16)(data) is data


def test_the_orientation_is_applied_and_left_out():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(pixels(*LARGE))
    data = saved(image, "jpeg", exif=exif, quality=95, icc_profile=b"x" * 9)
    stored = Image.open(io.BytesIO(Shrink(16, 95)(data)))
    assert stored.size == (16, 24)  # Upright: LARGE turned by a quarter.
    assert not stored.getexif() and "icc_profile" not in stored.info
    upright = resize_to_cover(decode_image(data), 16, "bicubic")
    assert np.abs(np.asarray(stored).astype(int) - upright).mean() < 3
    small = saved(Image.fromarray(pixels(*SMALL)), "jpeg", exif=exif)
    assert Shrink(16)(small) is small


KINDS = {
    "gray": ("L", "png", "L"),
    "gray of 16 bits": ("I;16", "png", "L"),
    "CMYK": ("CMYK", "jpeg", "RGB"),
    "palette": ("P", "png", "RGB"),
    "transparent": ("RGBA", "png", "RGB"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_becomes_what_decoding_makes_of_it(kind):
    mode, suffix, expected = KINDS[kind]
    image = Image.fromarray(pixels(*LARGE))
    if mode == "I;16":
        gray = np.asarray(image.convert("L")).astype("uint16") * 257
        image = Image.fromarray(gray)
    else:
        image = image.convert(mode)
    data = saved(image, suffix)
    stored = Shrink(16, 95)(data)
    with Image.open(io.BytesIO(stored)) as found:
        assert (found.format, found.mode) == ("JPEG", expected)
    before = resize_to_cover(decode_image(data), 16, "bicubic")
    assert np.abs(decode_image(stored).astype(int) - before).mean() < 3


def test_what_no_jpeg_holds_is_refused():
    data = saved(Image.new("L", (140_000, 2)))
    with pytest.raises(ValueError, match="a.png: a JPEG has at most 65535"):
        Shrink(1)(data, "a.png")


@pytest.mark.parametrize(
    "options",
    [
        {"max_side": 0},
        {"max_side": 9, "quality": 0},
        {"quality": 90},
        {"max_side": 9, "quality": 101},
        {"max_side": 2.5},
    ],
)
def test_mistakes(root, tmp_path, options):
    with pytest.raises(ValueError, match="`(max_side|quality)` .* Received: "):
        write_shards(splits_of(root), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
