import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import (
    ArrayRecords,
    ImageSet,
    Preprocessing,
    inspect_images,
    open_folder_splits,
    open_images,
    write_shards,
)
from keras_tricks.data.inspection.duplicates import (
    alike,
    equal_groups,
    similar_pairs,
)
from keras_tricks.data.inspection.inspect_record import (
    ODDITIES,
    difference_hash,
)
from keras_tricks.data.sources.labels import LabelError
from keras_tricks.data.transforms import channel_statistics

from ..damaged_images import (
    damaged_folder,
    encode,
    photo,
    readable,
    unreadable,
    write,
)

BAD = {
    "cut.jpg": "cut off",
    "cut_at_the_end.jpg": "cut off",
    "cut.png": "cut off",
    "empty.jpg": "empty",
    "text.jpg": "no image",
    "header_only.jpg": "cut off",
    "huge.png": "too many pixels",
    "lost.jpg": "unreadable",
}
ODD = {
    "cmyk.jpg": {"CMYK"},
    "gray.jpg": {"gray"},
    "deep.png": {"gray", "16 bits"},
    "animated.gif": {"animated", "palette"},
    "turned.jpg": {"turned"},
    "png_inside.jpg": {"other format"},
    "jpeg_inside.png": {"other format"},
    "one_pixel.png": {"tiny"},
    "one_pixel.jpg": {"tiny"},
    "long.png": {"tiny", "long"},
    "palette.png": {"palette"},
    "progressive.jpg": set(),
}


class Listed:
    """Records out of a list of (data, label)."""

    class_names, labels = ("a", "b"), None

    def __init__(self, *entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def record(self, index):
        data, label = self.entries[index]
        if isinstance(data, Exception):
            raise data
        return data, label

    def name(self, index):
        return f"entry {index}"


def inspect(*entries, **options):
    return inspect_images({"train": Listed(*entries)}, **options)


def odd(data, name="entry"):
    """The oddities of one file."""
    records = Listed((data, 0))
    records.name = lambda index: name
    (split,) = inspect_images({"train": records}).splits
    assert not split.bad, split.bad
    return {kind for kind in ODDITIES if len(split.odd(kind))}


def test_every_damaged_and_odd_file_is_found_and_no_other(tmp_path):
    damaged_folder(tmp_path)
    assert set(BAD) == set(unreadable()) and set(ODD) == set(readable())
    images = open_images(data_dir=tmp_path)
    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = inspect_images(images, 3, done.append)
    assert done == list(range(1, 93))
    found = {record.name: record for record in report.bad}
    kinds = {name: record.kind for name, record in found.items()}
    assert kinds == {f"train/dog/{name}": kind for name, kind in BAD.items()}
    for name, record in found.items():
        assert record.split == "train" and images.train.name(record.index) == (
            name
        )
        assert record.reason and not record.reason.startswith(name)
    oddities = {}
    for split, records in zip(
        report.splits, (images.train, images.test), strict=True
    ):
        assert len(split) == len(records)
        for kind in ODDITIES:
            for index in split.odd(kind):
                oddities.setdefault(records.name(index), set()).add(kind)
    wanted = {f"train/cat/{name}": kinds for name, kinds in ODD.items()}
    assert oddities == {name: kinds for name, kinds in wanted.items() if kinds}
    assert report.train.counts.tolist() == [42, 30]
    assert report.train.formats == {"JPEG": 66, "PNG": 5, "GIF": 1}
    turned = images.train.names.index("train/cat/turned.jpg")
    assert report.train.heights[turned] == 80
    assert report.train.widths[turned] == 60
    content = report.to_dict()
    assert content["splits"]["train"]["bad"]["cut off"] == 4
    assert content["splits"]["train"]["odd"]["CMYK"] == {
        "count": 1,
        "first": ["train/cat/cmyk.jpg"],
    }
    assert content["splits"]["test"]["bad"] == {}


def test_more_oddities():
    pixels = photo(0)
    rgba = Image.fromarray(pixels).convert("RGBA")
    assert odd(encode(rgba, "png")) == {"transparent"}
    keyed = encode(Image.fromarray(pixels), "png", transparency=(0, 0, 0))
    assert odd(keyed) == {"transparent"}
    assert odd(encode(np.zeros((5000, 4000, 3), "uint8"))) == set()
    assert odd(encode(np.zeros((5000, 4001, 3), "uint8"))) == {"huge"}
    assert odd(encode(photo(0, 32, 128))) == set()
    assert odd(encode(photo(0, 31, 31))) == {"tiny"}
    assert odd(encode(photo(0, 129, 32))) == {"long"}
    assert odd(encode(pixels), "a/photo.JPG") == set()
    assert odd(encode(pixels), "shard.tfrecord[3]") == set()
    assert odd(encode(pixels, "webp"), "photo.png") == {"other format"}


def test_nothing_ends_it():
    good = encode(photo(1))
    gif = encode(Image.fromarray(photo(2)).quantize(), "gif")
    webp, bmp = encode(photo(2), "webp"), encode(photo(2), "bmp")
    cases = {
        "other": [
            (KeyError("what"), 0),
            (np.zeros((4, 4), "float64"), 0),
            (np.zeros((4, 4, 2), "uint8"), 0),
            (None, 0),
        ],
        "unreadable": [(ValueError("shard: damaged"), 0), (OSError(), 0)],
        "label": [(good, 2), (good, -1), (good, None), (good, 0.5)],
        "cut off": [
            (data[: 2 * len(data) // 3], 0) for data in (gif, webp, bmp)
        ],
        "no image": [(b"\0" * 99, 0)],
    }
    for kind, entries in cases.items():
        report = inspect(*entries, (good, 1), workers=2)
        assert [record.kind for record in report.bad] == (
            [kind] * len(entries)
        ), (kind, report.bad)
        assert report.train.counts.tolist() == [0, 1]
    report = inspect((b"", 0))
    assert report.mean is None and report.train.quantiles() == {}
    assert report.empty_classes() == {"train": ["a", "b"]}
    report.to_dict()


def test_statistics_are_those_of_the_pixels():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (70, 9, 7, 3), "uint8")
    x[..., 2] //= 3
    records = ArrayRecords(x, np.arange(70) % 2, ("a", "b"))
    report = inspect_images({"train": records, "test": records})
    mean, std = channel_statistics(x)
    np.testing.assert_allclose(report.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(report.std, std, rtol=1e-6)
    # Each image counts the same, however large it is.
    flat = [
        np.full((size, size, 3), v, "uint8") for size, v in ((1, 0), (9, 9))
    ]
    report = inspect((flat[0], 0), (flat[1], 1))
    assert report.mean == (4.5,) * 3 and report.std == (4.5,) * 3
    assert report.train.quantiles()["height"][3] == 5
    assert report.train.quantiles()["bytes"][-1] == 243
    assert report.train.balance() == {"min": 1, "median": 1, "max": 1}


def recoded(seed, size, quality):
    large = Image.fromarray(photo(seed, 300, 400))
    file = io.BytesIO()
    large.resize((4 * size, 3 * size)).save(file, "jpeg", quality=quality)
    return file.getvalue()


def test_duplicates_are_found_within_and_across_splits():
    many = [(recoded(seed, 100, 95), seed % 2) for seed in range(40)]
    train = Listed(*many, many[0], (encode(photo(90), "png"), 1))
    test = Listed(
        (many[3][0], 0),
        (encode(photo(90), "bmp"), 1),
        (recoded(5, 60, 60), 1),
        (recoded(77, 60, 60), 1),
    )
    report = inspect_images({"train": train, "test": test})
    found = {
        group.members: (group.exact, group.across_splits, group.labels_differ)
        for group in report.duplicates
    }
    assert found == {
        (("train", 0), ("train", 40)): (True, False, False),
        (("train", 3), ("test", 0)): (True, True, True),
        (("train", 41), ("test", 1)): (True, True, False),
        (("train", 5), ("test", 2)): (False, True, False),
    }
    assert report.duplicates[0].names == ("entry 0", "entry 40")


def test_flat_images_do_not_look_alike():
    flat = [np.full((40, 50, 3), value, "uint8") for value in (0, 1, 2)]
    edge = np.zeros((40, 50, 3), "uint8")
    edge[:, 25:] = 200
    images = [*flat, edge, edge + 1]
    assert not inspect(*((image, 0) for image in images)).duplicates
    assert difference_hash(Image.fromarray(edge)) == 0


def test_similar_pairs_are_those_of_three_bits():
    rng = np.random.default_rng(0)
    hashes = rng.integers(1, 2**62, 60).astype("uint64")
    for i in range(30):
        mask = sum(1 << int(b) for b in rng.choice(64, i % 6, replace=False))
        hashes[30 + i] = hashes[i] ^ np.uint64(mask)
    hashes = np.concatenate([hashes, np.zeros(3, "uint64")])
    wanted = {
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= 3
    }
    assert len(wanted) >= 20
    pairs = np.concatenate(list(similar_pairs(hashes)))
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == wanted
    groups = alike(hashes, np.zeros((63, 3)), np.ones(63))
    assert {tuple(group.tolist()) for group in groups} == wanted
    assert alike(hashes, np.zeros((63, 3)), 2.0 ** np.arange(63)) == []
    empty = np.zeros(0, "uint64")
    assert not list(equal_groups(empty)) and not list(similar_pairs(empty))


def test_chains_become_one_group():
    hashes = np.array([7, 7 ^ 0b111, 7 ^ 0b111111, 0xFFFFF << 20], "uint64")
    hashes |= np.uint64(0xABCD << 44)
    (group,) = alike(hashes, np.zeros((4, 3)), np.ones(4))
    assert group.tolist() == [0, 1, 2]


def test_shards_are_inspected_as_folders_are(tmp_path):
    files = {f"{i}.jpg": encode(photo(i)) for i in range(4)}
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            write(f"{tmp_path}/in/{split}/{name}", files)
    train, test = open_folder_splits(tmp_path / "in")
    write_shards({"train": train, "val": test}, tmp_path / "out", "webdataset")
    folder, shards = (
        inspect_images(open_images(data_dir=tmp_path / name))
        for name in ("in", "out")
    )
    assert shards.train.counts.tolist() == folder.train.counts.tolist()
    np.testing.assert_allclose(shards.mean, folder.mean)
    assert len(shards.duplicates) == len(folder.duplicates) == 4
    assert all(group.labels_differ for group in shards.duplicates)


def test_labels_of_shards_are_no_damage_of_the_file():
    report = inspect((LabelError("entry 0: the label must be in 0 ... 1"), 0))
    assert report.bad[0].kind == "label"
    assert report.bad[0].reason == "the label must be in 0 ... 1"


def test_all_empty_class_folders_are_named_at_once(tmp_path):
    good = {"0.jpg": encode(photo(0))}
    for split in ("train", "val"):
        for name in "abcd":
            write(f"{tmp_path}/{split}/{name}", good if name != "c" else {})
    write(f"{tmp_path}/train/e", good)
    with pytest.raises(ValueError) as error:
        open_images(data_dir=tmp_path)
    message = str(error.value)
    assert message.startswith("Class folders ") and "\n" not in message
    for name in ("train/c", "val/c", "val/e"):
        assert f"{tmp_path}/{name}" in message
    assert message.endswith(
        " must hold at least one image each. Received: none"
    )


def test_mistakes():
    records = Listed((encode(photo(0)), 0))
    for images in ({"val": records}, {"train": records, "x": records}, records):
        with pytest.raises(ValueError, match="`images` must be .* Received: "):
            inspect_images(images)
    with pytest.raises(ValueError, match="`workers` must be"):
        inspect({}, workers=0)
    data = ImageSet(records, records, Preprocessing(8), "mine")
    assert repr(inspect_images(data)) == (
        "DataReport(name='mine', train=1, test=1, bad=0, duplicates=1)"
    )


def test_a_png_of_16_bits_in_each_channel():
    def chunk(kind, body):
        crc = zlib.crc32(kind + body)
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + (struct.pack(">I", crc))
        )

    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    rows = (b"\0" + bytes(40 * 6)) * 40
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert odd(data) == {"16 bits", "unused bits"}  # All of them are 0.


@pytest.mark.parametrize("bits", [8, 12, 14, 15, 16])
@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_images_that_use_few_of_16_bits(bits, dtype):
    """They turn black, whatever the type of the file's pixels."""
    pixels = (photo(4)[..., 0] / 255 * (2**bits - 1)).astype(dtype)
    pixels[0, 0] = 2**bits - 1
    kind = "png" if dtype == "uint16" else "tiff"
    found = odd(encode(Image.fromarray(pixels), kind))
    assert found == {"gray", "16 bits"} | (
        {"unused bits"} if bits < 15 else set()
    )
