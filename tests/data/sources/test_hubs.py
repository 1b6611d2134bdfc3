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


class ImageFeature:
    """What datasets.Image and tfds.features.Image are, as far as it is used."""

    def __init__(self, decode=True):
        self.decode = decode


def layout(image, *labels):
    """Features of a data set: an image, classes, and a number."""
    size = types.SimpleNamespace()
    return {image: ImageFeature(), **dict.fromkeys(labels, NAMES), "size": size}


FEATURES = layout("image", "label")


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

    def builder(name, **options):
        info = types.SimpleNamespace(features=FEATURES)
        return types.SimpleNamespace(info=info)

    def data_source(name, **options):
        calls.append((name, options))
        return Source()

    module.builder, module.data_source = builder, data_source
    module.features = types.SimpleNamespace(Image=ImageFeature)
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
        ({"image_key": "img"}, r"an image in .* \(image\).* image_key='img'$"),
        ({"image_key": "size"}, "`image_key` must .* image_key='size'$"),
        ({"label_key": "fine"}, r"a class in .* \(label\).* label_key='fine'$"),
        ({"label_key": "size"}, "`label_key` must .* label_key='size'$"),
    ):
        with pytest.raises(ValueError, match=message):
            open_("tiny", "train", **options)


class Dataset:
    """A datasets.Dataset, as far as it is used."""

    def __init__(self, columns, features=FEATURES, kind=None):
        self.columns, self.features = columns, features
        self.format = {"type": kind}

    def with_format(self, kind):
        return Dataset(self.columns, self.features, kind)

    def select_columns(self, names):
        columns = {name: self.columns[name] for name in names}
        return Dataset(columns, self.features, self.format["type"])

    def cast_column(self, name, feature):
        features = {**self.features, name: feature}
        return Dataset(self.columns, features, self.format["type"])

    def __getitem__(self, key):
        assert self.format["type"] is None
        if isinstance(key, slice):
            return self.columns
        assert not any(self.features[name].decode for name in self.columns)
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
    module.Image, module.Dataset = ImageFeature, Dataset
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


# Of beans, cifar10, and cifar100 with either of its labels.
LAYOUTS = [
    ("image", "labels", ["image", "labels"], {}),
    ("img", "label", ["img", "label"], {}),
    ("img", "fine_label", ["img", "fine_label", "coarse_label"], "label_key"),
    ("img", "coarse_label", ["img", "fine_label", "coarse_label"], "label_key"),
    ("image", "label", ["image", "fine_label", "label"], {}),
]


@pytest.mark.parametrize(("image", "label", "names", "given"), LAYOUTS)
def test_huggingface_columns(image, label, names, given, packages):
    features = layout(*names)
    columns = {name: [9, 9] for name in features}
    columns |= {image: [{"bytes": b"x"}] * 2, label: [1, 0]}
    keys = {given: label} if given else {}
    records = open_huggingface(Dataset(columns, features, "torch"), **keys)
    assert records.record(0) == (b"x", 1) and records.record(1) == (b"x", 0)


def test_huggingface_columns_that_are_not_clear(packages):
    features = layout("img", "fine_label", "coarse_label")
    columns = dict.fromkeys(features, [0])
    message = (
        r"^`label_key` must be the name of a class in dataset \(fine_label, "
        r"coarse_label\). Received: label_key=None$"
    )
    with pytest.raises(ValueError, match=message):
        open_huggingface(Dataset(columns, features))
    features = {"pixels": None, "label": NAMES}
    message = r"`image_key` .* \(none among pixels, label\). Received: "
    with pytest.raises(ValueError, match=message):
        open_huggingface(Dataset(columns, features))


def test_what_is_no_plain_dataset(packages):
    stream = type("IterableDataset", (), {})()
    for wrong, message in (
        ({"train": packages, "test": packages}, "one split.* of train, test$"),
        (stream, "read by number.* streaming=True. Received: IterableDataset$"),
        (packages.with_format("custom"), r"give dataset.with_format\(None\)"),
    ):
        with pytest.raises(ValueError, match="`dataset` must.* " + message):
            open_huggingface(wrong)


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
