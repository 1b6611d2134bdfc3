"""Shards as webdataset writes them, read by number."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from keras_tricks.data import ClassNames, open_tar_shards

CLASSES = ClassNames(("ant", "bee", "cat"))


@pytest.fixture
def write(tmp_path):
    """A function that writes a .tar of names and contents."""

    def make(*members, name="data-000000.tar", **options):
        path = tmp_path / name
        with tarfile.open(path, "w", **options) as tar:
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    return make


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_samples_by_number(write, tmp_path, format_):
    deep = "a" * 60 + "/" + "b" * 90
    write(
        ("x.jpg", b"image x"),
        ("x.cls", b"2\n"),
        ("y.json", b'{"label": 1, "more": [1]}'),
        ("y.WebP", b"image y" * 100),
        ("y.txt", b"a text"),
        (f"{deep}.png", b"image z"),
        (f"{deep}.json", b'{"size": 3}'),
        (f"{deep}.cls", b"0"),
        ("._x.jpg", b"hidden"),
        ("README", b"alone"),
        format=format_,
    )
    write(("x.jpeg", b"another"), ("x.cls", b"1"), name="data-000001.tar")
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\n")
    records = open_tar_shards(tmp_path)
    expected = [
        (b"image x", 2),
        (b"image y" * 100, 1),
        (b"image z", 0),
        (b"another", 1),
    ]
    for source in (records, pickle.loads(pickle.dumps(records))):
        assert [source.record(i) for i in range(4)] == expected
    assert records.labels.tolist() == [2, 1, 0, 1]
    assert records.labels.dtype == np.int32
    assert records.class_names == CLASSES.names
    assert records.name(1) == "data-000000.tar[1] y.WebP"
    assert records.name(2).startswith("data-000000.tar[2] a")
    assert records.name(3) == "data-000001.tar[0] x.jpeg"


def test_keys_with_periods_and_named_fields(write):
    """As in WebDataset, all up to the first period joins what has no pair."""
    path = write(
        ("n1.0001.jpg", b"a"),
        ("n1.0002.jpg", b"b"),
        ("n1.0001.cls", b"0"),
        ("n1.0002.cls", b"1"),
        ("1.5/x.input.jpg", b"c"),
        ("1.5/x.target.cls", b"2"),
        ("1.5/x.meta.json", b"{}"),
        ("y.jpg", b"d"),
        ("y.target.json", b'{"label": 1}'),
        ("z.jpg", b"e"),
        ("z.cls", b"2"),
        ("z.mask.png", b"of a complete sample: passed over"),
    )
    records = open_tar_shards(path, CLASSES)
    found = [records.record(i) for i in range(len(records))]
    assert sorted(found) == [
        (b"a", 0),
        (b"b", 1),
        (b"c", 2),
        (b"d", 1),
        (b"e", 2),
    ]


def test_images_and_labels_by_their_keys(write):
    path = write(
        ("x.1.left.jpg", b"left"),
        ("x.1.right.jpg", b"right"),
        ("x.1.fine.cls", b"3"),
        ("x.1.coarse.cls", b"1"),
        ("y.right.jpg", b"another"),
        ("y.json", b'{"fine": 2, "coarse": 1, "label": 7}'),
    )
    keys = {"image_key": "right", "label_key": "fine"}
    records = open_tar_shards(path, CLASSES, 1, **keys)
    found = [records.record(i) for i in range(len(records))]
    assert found == [(b"right", 2), (b"another", 1)]
    with pytest.raises(ValueError, match="one image. Received: x.1.right.jpg"):
        open_tar_shards(path, CLASSES)


SAMPLE = [("x.jpg", b"image" * 200), ("x.cls", b"0"), ("y.jpg", b"i")]
MISTAKES = {
    "no label": ([*SAMPLE], "every sample must .* Received: y without label"),
    "no image": (
        [*SAMPLE[:2], ("z.json", b'{"label": 0}')],
        "every sample must .* Received: z without image",
    ),
    "no label in the object": (
        [*SAMPLE, ("y.json", b'{"class": 0}')],
        "every sample must .* Received: y without label",
    ),
    "a word as label": (
        [*SAMPLE, ("y.cls", b"ant")],
        "one label, in digits. Received: y.cls",
    ),
    "two images": (
        [*SAMPLE, ("y.cls", b"0"), ("y.png", b"j")],
        "one image. Received: y.png",
    ),
    "two labels": (
        [*SAMPLE, ("y.cls", b"0"), ("y.json", b'{"label": 1}')],
        "one label, in digits. Received: y.json",
    ),
    "a key with a period and no label": (
        [*SAMPLE[:2], ("n1.0002.jpg", b"j")],
        "Received: n1.0002 without label",
    ),
    "two images of a key": (
        [("x.a.jpg", b"i"), ("x.b.jpg", b"j"), ("x.cls", b"0")],
        "one image. Received: x.b.jpg",
    ),
    "files of other kinds": (
        [("x.npy", b"i"), ("x.txt", b"0")],
        r"must hold images \(.*.jpg.*Received: x.npy, and none of them",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes(name, write):
    members, message = MISTAKES[name]
    path = write(*members)
    with pytest.raises(ValueError, match=message) as error:
        open_tar_shards(path, CLASSES)
    assert path.name in str(error.value) and "\n" not in str(error.value)


def test_a_link_is_refused(write):
    path = write(*SAMPLE[:2])
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("y.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "x.jpg"
        tar.addfile(link)
    with pytest.raises(ValueError, match="files. Received: y.jpg, a link to x"):
        open_tar_shards(path, CLASSES)


def test_a_label_that_is_no_class_costs_its_record_alone(write):
    records = open_tar_shards(write(*SAMPLE, ("y.cls", b"%d" % 2**31)), CLASSES)
    assert records.labels.tolist() == [0, -1]
    assert records.record(0) == (b"image" * 200, 0)
    message = (
        r"^data-000000.tar\[1\] y.jpg: .* must be in 0 ... 2, .* "
        "Received: 2147483648$"
    )
    with pytest.raises(ValueError, match=message):
        records.record(1)


def test_the_same_label_twice_is_one(write):
    members = [*SAMPLE, ("y.cls", b"1"), ("y.json", b'{"label": 1}')]
    assert open_tar_shards(write(*members), CLASSES).labels.tolist() == [0, 1]


# Blocks of 512: header, 1000 bytes of image, header, label, ...
@pytest.mark.parametrize("kept", [100, 700, 1536, 2000, 2048, 2560, -10240])
def test_a_cut_shard_is_named(write, kept):
    path = write(*SAMPLE[:2], *[(f"{i}.jpg", b"i") for i in range(99)])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"data-000000.tar: .*(cut|ends)"):
        open_tar_shards(path, CLASSES)


def test_damage_and_compression_are_named(write, tmp_path):
    path = write(*SAMPLE, ("y.cls", b"1"))
    data = bytearray(path.read_bytes())
    data[1536 + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="tar: the header at byte 1536 is dam"):
        open_tar_shards(path, CLASSES)
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x.jpg"))
    with pytest.raises(ValueError, match="no .tar, or compressed"):
        open_tar_shards(path, CLASSES)


def test_a_shard_that_vanishes_is_named(write):
    path = write(*SAMPLE, ("y.cls", b"1"))
    records = open_tar_shards(path, CLASSES)
    path.unlink()
    assert records.name(1) == "data-000000.tar[1]"
    with pytest.raises(ValueError, match="data-000000.tar: No such file"):
        records.record(1)
