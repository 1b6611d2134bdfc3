"""Images of several classes: the table beside them, npz, shards and columns."""

import json
import sys
import types

import numpy as np
import pytest
from PIL import Image

from keras_tricks import data
from keras_tricks.data.inspection.inspect_images import inspect_images
from keras_tricks.data.open_test_images import open_test_images
from keras_tricks.data.shards.writers import TFRecordWriter
from keras_tricks.data.sources.label_table import (
    find_label_tables,
    read_label_table,
)
from keras_tricks.data.sources.labels import strata

NAMES = ("cat", "dog", "owl")
# Of six images; the fifth has no class.
ROWS = [[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]]


def names_of(row):
    return [name for name, one in zip(NAMES, row, strict=True) if one]


def pictures(folder, count=6):
    folder.mkdir(exist_ok=True, parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(0, 256, (9, 12, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def listed(mark="|", title="labels"):
    rows = [f"{i}.png,{mark.join(names_of(r))}" for i, r in enumerate(ROWS)]
    if mark == ",":
        rows = [row.replace(",", ',"', 1) + '"' for row in rows]
    return "\n".join([f"file,{title}", *rows, ""])


def columns(ones="1", zeros="0"):
    rows = [
        ",".join([ones if one else zeros for one in row] + [f"{i}.png"])
        for i, row in enumerate(ROWS)
    ]
    return "\r\n".join([",".join([*NAMES, "filename"]), *rows])


TABLES = {
    "names with bars": ("labels.csv", listed()),
    "names with commas": ("labels.csv", listed(",", "tags")),
    "names with semicolons": ("labels.csv", "\ufeff" + listed(" ; ", "x")),
    "a column for each": ("labels.csv", columns()),
    "a column of words": ("labels.csv", columns("True", "")),
    "tabs": ("labels.tsv", columns().replace(",", "\t")),
    "tabs in a .csv": ("labels.csv", columns().replace(",", "\t")),
    "columns with semicolons": ("labels.csv", columns().replace(",", ";")),
    "names in columns with semicolons": (
        "labels.csv",
        "\ufeff" + listed().replace(",", ";"),
    ),
    "an object": (
        "labels.json",
        json.dumps({f"{i}.png": names_of(r) for i, r in enumerate(ROWS)}),
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_form_says_the_same(kind, tmp_path):
    name, text = TABLES[kind]
    (tmp_path / name).write_text(text, "utf-8")
    assert find_label_tables(str(tmp_path)) == [name]
    table = read_label_table(str(tmp_path), [name])
    assert table.classes.names == NAMES and not table.flaws
    assert table.files == tuple(f"{i}.png" for i in range(6))
    assert table.labels.tolist() == ROWS
    assert table.splits == (None,) * 6


def test_classes_of_a_file_are_in_its_order(tmp_path):
    pictures(tmp_path)
    (tmp_path / "labels.csv").write_text(listed())
    (tmp_path / "classes.txt").write_text("ant\nowl\ndog\ncat\n")
    files = open_test_images(data_dir=tmp_path)
    assert files.class_names == ("ant", "owl", "dog", "cat")
    assert files.labels.tolist() == [[0, c, b, a] for a, b, c in ROWS]
    assert not files.left_out


@pytest.mark.parametrize("how", ["folders", "two tables", "a column"])
def test_splits(how, tmp_path):
    for name in ("train", "Val"):
        pictures(tmp_path / name)
    if how == "two tables":
        for name in ("train", "Val"):
            (tmp_path / name / "labels.csv").write_text(listed())
    else:
        lines = listed().splitlines()
        text = [lines[0] + ",split" * (how == "a column")]
        for name in ("train", "Val"):
            end = f",{name}" * (how == "a column")
            text += [f"{name}/{line}{end}" for line in lines[1:]]
        (tmp_path / "labels.csv").write_text("\n".join(text))
    train, test = data.open_folder_splits(tmp_path)
    assert train.labels.tolist() == test.labels.tolist() == ROWS
    assert {name[:6] for name in train.names} == {"train/"}
    assert {name[:4] for name in test.names} == {"Val/"}
    assert not train.left_out
    assert open_test_images(data_dir=tmp_path).names == test.names


def test_whole_paths_are_read(tmp_path, monkeypatch):
    pictures(tmp_path)
    head, *lines = listed().splitlines()
    whole = [head, *(f"{tmp_path / line}" for line in lines)]
    (tmp_path / "labels.csv").write_text("\n".join([*whole, "/out.png,cat"]))
    monkeypatch.chdir(tmp_path.parent)
    files = open_test_images(data_dir=tmp_path.name)
    assert [name for name in files.names if name not in files.flaws] == [
        f"{i}.png" for i in range(6)
    ]
    (outside,) = files.flaws
    assert outside.endswith("../out.png")


def test_what_cannot_be_used_is_counted_and_named(tmp_path, capsys):
    pictures(tmp_path)
    extra = "0.png,cat\n5.png,wolf|dog\ngone.png,cat\n../out.png,dog\n"
    lines = listed().splitlines()[:-1]  # Without that of 5.png.
    (tmp_path / "labels.csv").write_text("\n".join(lines) + f"\n{extra}")
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    Image.new("RGB", (9, 9)).save(tmp_path / "other.png")
    files = open_test_images(data_dir=tmp_path)
    assert files.flaws == {
        "0.png": "labels.csv has 2 rows for it",
        "5.png": "labels.csv has the class 'wolf', which is none of 3",
        "gone.png": "labels.csv names it, but there is no such file",
        "../out.png": "labels.csv may name files inside of the folder alone",
    }
    assert files.left_out == {"other.png": "without a row in labels.csv"}
    assert (
        "1 without a row in labels.csv (other.png)" in capsys.readouterr().err
    )
    report = inspect_images({"train": files})
    assert {bad.name: bad.kind for bad in report.bad} == dict.fromkeys(
        files.flaws, "label"
    )
    assert report.train.counts.tolist() == [2, 2, 2]
    assert report.train.of_class(2).tolist() == [
        files.names.index(f"{i}.png") for i in (2, 3)
    ]
    with pytest.raises(ValueError, match="At most 3 .*(and 3 more)?$"):
        data.load(data_dir=tmp_path, image_size=8, max_bad_records=3)
    loaded = data.load(data_dir=tmp_path, image_size=8, max_bad_records=4)
    assert len(loaded.y_train) + len(loaded.y_test) == 4
    images = data.open_images(data_dir=tmp_path)
    with pytest.raises(data.TooManyBadRecords, match=r"Received: \.\./out.png"):
        data.ImageBatches(images.train, data.Preprocessing(8), 2)


def test_one_class_of_each_image_is_that_of_class_folders(tmp_path):
    pictures(tmp_path)
    rows = "\n".join(f"{i}.png,{NAMES[i % 3]}" for i in range(6))
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}\n")
    images = data.open_images(data_dir=tmp_path)
    assert not images.multi_label and images.train.labels.ndim == 1
    images = data.open_images(data_dir=tmp_path, multi_label=True)
    assert images.multi_label and set(images.train.labels.sum(1)) == {1}
    for options in ({}, {"multi_label": True}):
        loaded = data.load(data_dir=tmp_path, image_size=8, **options)
        assert loaded.multi_label == bool(options)


def npz(path, rows, **more):
    x = np.zeros((len(rows), 8, 8, 1), "uint8")
    y = np.array(rows)
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, **more}
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def test_npz(tmp_path):
    for dtype in ("int64", "float32", "bool"):
        path = npz(tmp_path, np.array(ROWS, dtype), class_names=NAMES)
        loaded = data.load(data_dir=path)
        assert loaded.multi_label and loaded.y_train.tolist() == ROWS
        assert loaded.class_counts.tolist() == [3, 3, 2]
    images = data.open_images(data_dir=path, train_samples=4)
    assert images.train.record(0)[1].shape == (3,)
    one_hot = npz(tmp_path, np.eye(3, dtype=int))
    assert data.load(data_dir=one_hot).y_train.tolist() == [0, 1, 2]
    assert data.load(data_dir=one_hot, multi_label=True).y_train.shape == (3, 3)


def test_subsets_have_rare_classes():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 3)) < (0.6, 0.3, 0.05)).astype("uint8")
    # By hand: of the classes of a sample the one with the fewest samples.
    counts = labels.sum(0)
    expected = [
        min(np.flatnonzero(row), key=lambda c: counts[c]) if row.any() else 3
        for row in labels
    ]
    assert strata(labels).tolist() == expected
    images = data.ImageData(
        np.zeros((400, 2, 2, 1), "uint8"), labels,
        np.zeros((1, 2, 2, 1), "uint8"), labels[:1], NAMES,
    )  # fmt: skip
    few = images.take(train_samples=100)
    np.testing.assert_allclose(few.class_counts, counts / 4, atol=8)
    assert few.class_counts[2] == pytest.approx(counts[2] / 4, abs=1)


def test_batches_give_rows_of_floats():
    x = np.zeros((6, 4, 4, 1), "uint8")
    batches = data.Batches(x, ROWS, 3, shuffle=False, std=1)
    y = batches[1][1]
    assert y.dtype == "float32" and y.tolist() == ROWS[3:]
    with pytest.raises(ValueError, match="0 and 1 alone. Received: 2"):
        data.Batches(x, 2 * np.array(ROWS), 3)


def write_records(path, labels):
    (path / "classes.txt").write_text("\n".join(NAMES))
    Image.new("RGB", (9, 9)).save(path / "a.png")
    image = (path / "a.png").read_bytes()
    writer = TFRecordWriter(str(path / "all.tfrecord"))
    for index, label in enumerate(labels):
        writer.write(index, "a.png", image, label)
    writer.close()


def test_a_list_of_integers_in_a_record(tmp_path):
    write_records(tmp_path, [[0, 2], [0], []])
    records = data.open_record_shards(tmp_path)
    assert records.multi_label and records.labels is None
    rows = [records.record(i)[1].tolist() for i in range(3)]
    assert rows == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    batches = data.ImageBatches(
        records, data.Preprocessing(8), 3, engine="grain", shuffle=False
    )
    assert batches[0][1].tolist() == rows and batches[0][1].dtype == "float32"


def test_lists_of_one_are_told_by_the_argument(tmp_path):
    write_records(tmp_path, [[0], [2]])
    assert data.open_record_shards(tmp_path).record(1)[1] == 2
    records = data.open_record_shards(tmp_path, multi_label=True)
    assert records.record(1)[1].tolist() == [0, 0, 1]


def test_a_column_of_sequences(monkeypatch):
    class Dataset:
        format = {"type": None}  # noqa: RUF012
        features = {}  # noqa: RUF012

        def with_format(self, kind):
            return self

        def select_columns(self, names):
            return self

        def cast_column(self, name, feature):
            return self

        def __getitem__(self, key):
            if isinstance(key, slice):
                return {"tags": [[0, 2], [], [1]]}
            return {"image": {"bytes": b"x", "path": None}}

    module = types.ModuleType("datasets")
    module.Dataset = Dataset
    module.Image = type("Image", (), {"__init__": lambda self, decode=1: None})
    tags = types.SimpleNamespace(feature=types.SimpleNamespace(names=NAMES))
    Dataset.features = {"image": module.Image(), "tags": tags}
    monkeypatch.setitem(sys.modules, "datasets", module)
    records = data.open_huggingface(Dataset())
    assert records.labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert records.record(0)[1].tolist() == [1, 0, 1]
    assert records.class_names == NAMES


def test_a_feature_of_sequences(monkeypatch):
    module = types.ModuleType("tensorflow_datasets")
    image = type("Image", (), {})
    inner = types.SimpleNamespace(names=NAMES)
    features = {"image": image(), "tags": types.SimpleNamespace(feature=inner)}
    info = types.SimpleNamespace(features=features)
    examples = [
        {"image": b"x", "tags": np.array([0, 2])},
        {"image": b"y", "tags": np.zeros(0, int)},
        {"image": b"z", "tags": np.array([3])},
    ]
    module.builder = lambda name, **_: types.SimpleNamespace(info=info)
    module.data_source = lambda name, **_: examples
    module.features = types.SimpleNamespace(Image=image)
    module.decode = types.SimpleNamespace(SkipDecoding=lambda: "skip")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    records = data.open_tfds("tiny", "train")
    assert records.multi_label and records.labels is None
    assert records.record(0)[1].tolist() == [1, 0, 1]
    assert records.record(1)[1].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"tiny train\[2\]: the label must be"):
        records.record(2)
