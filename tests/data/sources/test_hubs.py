"""Records of two hubs, with stand-ins for their packages, and for real."""

import io
import pickle
import sys
import types

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import open_huggingface, open_tfds

NAMES = types.SimpleNamespace(names=["ant", "bee"])
FEATURES = {"image": None, "label": NAMES, "size": types.SimpleNamespace()}


class Source:
    """What tfds.data_source gives, as far as it is used."""

    dataset_info = types.SimpleNamespace(features=FEATURES)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 2:
            raise RuntimeError("a shard\nis damaged")
        return {"image": b"image %d" % index, "label": np.int64(1 + index)}


@pytest.fixture
def tfds(monkeypatch):
    """A stand-in for the package; the list has the calls of data_source."""
    module, calls = types.ModuleType("tensorflow_datasets"), []

    def data_source(name, **options):
        calls.append((name, options))
        return Source()

    module.data_source = data_source
    module.decode = types.SimpleNamespace(SkipDecoding=lambda: "skip")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return calls


def test_tfds(tfds):
    records = open_tfds("tiny/one", "train", "there")
    options = {
        "split": "train",
        "data_dir": "there",
        "decoders": {"image": "skip"},
        "builder_kwargs": {"file_format": "array_record"},
    }
    assert tfds == [("tiny/one", options)]
    assert len(records) == 3 and records.class_names == ("ant", "bee")
    assert records.labels is None
    assert records.record(0) == (b"image 0", 1)
    copy = pickle.loads(pickle.dumps(records))
    assert copy.record(0) == records.record(0) and tfds[1] == tfds[0]
    assert copy.name(1) == "tiny/one train[1]"
    message = r"^tiny/one train\[1\]: the label must be in 0 ... 1. .*: 2$"
    with pytest.raises(ValueError, match=message):
        records.record(1)
    with pytest.raises(ValueError, match=r"train\[2\]: a shard is damaged$"):
        records.record(2)


@pytest.mark.parametrize("open_", [open_tfds, open_huggingface])
def test_features_must_be_there(open_, tfds, packages):
    for options, message in (
        ({"image": "img"}, "`image` must be one of .* Received: image='img'"),
        ({"label": "fine"}, "`label` must be one of .* label='fine'"),
        ({"label": "size"}, "`label` must be .* names .* label='size'"),
    ):
        with pytest.raises(ValueError, match=message):
            open_("tiny", "train", **options)


class Dataset:
    """A datasets.Dataset, as far as it is used."""

    features = FEATURES

    def __init__(self, columns, decoded=True):
        self.columns, self.decoded = columns, decoded

    def select_columns(self, names):
        return Dataset({name: self.columns[name] for name in names})

    def cast_column(self, name, feature):
        assert name == "image" and feature == {"decode": False}
        return Dataset(self.columns, decoded=False)

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self.columns
        assert not self.decoded
        return {name: column[key] for name, column in self.columns.items()}


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """A stand-in for the package datasets, which has one by name."""
    path = tmp_path / "file.png"
    path.write_bytes(b"of a file")
    images = [
        {"bytes": b"image", "path": "a.png"},
        {"bytes": None, "path": str(path)},
        {"bytes": None, "path": str(tmp_path / "nothere")},
        None,
    ]
    dataset = Dataset({"image": images, "label": [1, 0, 1, 0], "size": [0] * 4})
    module = types.ModuleType("datasets")
    module.Image = dict
    module.load_dataset = lambda name, split: dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return dataset


def test_huggingface(packages):
    for records, title in (
        (open_huggingface("me/tiny", "train"), "me/tiny train"),
        (open_huggingface(packages), "dataset"),
    ):
        assert len(records) == 4 and records.class_names == ("ant", "bee")
        assert records.labels.tolist() == [1, 0, 1, 0]
        assert records.labels.dtype == np.int32
        for source in (records, pickle.loads(pickle.dumps(records))):
            assert source.record(0) == (b"image", 1)
            assert source.record(np.int64(1)) == (b"of a file", 0)
        assert records.name(3) == f"{title}[3]"
        with pytest.raises(ValueError, match=r"\[2\]: .*nothere: No such file"):
            records.record(2)
        with pytest.raises(ValueError, match=r"\[3\]: there is no image"):
            records.record(3)


@pytest.mark.parametrize("label", [None, -1, 2])
def test_huggingface_without_a_class(packages, label):
    packages.columns["label"][2] = label
    with pytest.raises(
        ValueError, match=r"^dataset\[2\]: the label must be in"
    ):
        open_huggingface(packages)


def test_huggingface_split(packages):
    for arguments in (("tiny",), (packages, "train")):
        with pytest.raises(
            ValueError, match="`split` must .* Received: split="
        ):
            open_huggingface(*arguments)


def test_without_the_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"'keras_tricks\[tfds\]'"):
        open_tfds("tiny", "train")
    with pytest.raises(ImportError, match=r"'keras_tricks\[huggingface\]'"):
        open_huggingface("tiny", "train")


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (value,) * 3).save(file, "png")
    return file.getvalue()


def test_huggingface_for_real():
    datasets = pytest.importorskip("datasets")
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["ant", "bee"]),
    }
    images = [{"bytes": png(i), "path": None} for i in range(5)]
    dataset = datasets.Dataset.from_dict(
        {"image": images, "label": [0, 1, 0, 1, 1]},
        features=datasets.Features(features),
    )
    chosen = open_huggingface(dataset.select([3, 2]))
    assert chosen.labels.tolist() == [1, 0]
    for source in (chosen, pickle.loads(pickle.dumps(chosen))):
        assert source.record(0) == (png(3), 1)
        assert source.record(1) == (png(2), 0)


def test_tfds_for_real(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")

    class TinyAnimals(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["ant", "bee"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(4):
                pixels = np.full((4, 3, 3), i, "uint8")
                yield i, {"image": pixels, "label": i % 2}

    records = open_tfds("tiny_animals", "train", tmp_path)
    assert len(records) == 4
    for source in (records, pickle.loads(pickle.dumps(records))):
        for i in range(4):
            data, label = source.record(i)
            pixels = np.asarray(Image.open(io.BytesIO(data)))
            assert pixels.max() % 2 == label
