"""Data sets of TensorFlow Datasets and of the Hugging Face hub."""

import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_tricks._checks import first_line
from keras_tricks.data.sources.choose_key import choose_key
from keras_tricks.data.sources.labels import check_label, label_at

if TYPE_CHECKING:
    import datasets


class TfdsRecords:
    """An image data set of TensorFlow Datasets, as `Records`.

    `open_tfds` makes one. It is opened again in every process.

    Args:
        name: The data set, with its configuration and version if you like.
        split: Name of its split.
        data_dir: Where it is or shall be, or `None`.
        image_key: Name of the feature that is the image; `None` for `image`,
            or the only one.
        label_key: Name of the feature that is the class, likewise.

    Attributes:
        labels: `None`: only reading a record tells its label.

    Example:
    >>> records = TfdsRecords("cifar10", "train")  # doctest: +SKIP
    """

    labels = None

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str | os.PathLike | None = None,
        image_key: str | None = None,
        label_key: str | None = None,
    ):
        self._title = f"{name} {split}"
        package = _import("tensorflow_datasets", "tfds")
        kind = {"file_format": "array_record"}
        features = package.builder(
            name, data_dir=data_dir, **kind
        ).info.features
        image, label = _choose(
            features, package.features.Image, image_key, label_key, name
        )
        self._arguments = (name, split, data_dir, image, label)
        self._image, self._label = image, label
        # The bytes of a file: how it is decoded is not left to the package.
        self._source = package.data_source(
            name,
            split=split,
            data_dir=data_dir,
            decoders={image: package.decode.SkipDecoding()},
            builder_kwargs=kind,
        )
        self.class_names = _class_names(features, label, name)
        self.multi_label = _is_sequence(features[label])

    def __reduce__(self):
        return TfdsRecords, self._arguments

    def __len__(self):
        return len(self._source)

    def record(self, index: int) -> tuple[bytes | np.ndarray, Any]:
        """Return an image, and its label, 0 and 1 where it is a sequence.

        Raises:
            ValueError: If it cannot be read, or has no label; the message
                names the record.
        """
        try:
            example = self._source[index]
        except (RuntimeError, OSError) as error:
            message = f"{self.name(index)}: {first_line(error)}"
            raise ValueError(message) from None
        found = np.atleast_1d(example[self._label]).tolist()
        row = np.zeros(len(self.class_names), "uint8")
        for label in found:
            check_label(self.name(index), label, len(row))
            row[label] = 1
        return example[self._image], row if self.multi_label else found[0]

    def name(self, index: int) -> str:
        """Return the data set, its split, and the number."""
        return f"{self._title}[{index}]"


class HuggingFaceRecords:
    """An image data set of the package datasets, as `Records`.

    `open_huggingface` makes one.

    Args:
        dataset: A `datasets.Dataset` with columns of images and classes.
        title: What the records are called.
        image_key: Name of the column of images; `None` for `image`, or the
            only one.
        label_key: Name of the column of classes, likewise.

    Attributes:
        labels: int32, shape `(N,)`; uint8, shape `(N, K)`, where the column
            is a sequence of classes.

    Example:
    >>> records = HuggingFaceRecords(dataset, "cifar10")  # doctest: +SKIP
    """

    def __init__(
        self,
        dataset: "datasets.Dataset",
        title: str,
        image_key: str | None = None,
        label_key: str | None = None,
    ):
        package = _import("datasets", "huggingface")
        features = _check_dataset(dataset, package).features
        image, label = _choose(
            features, package.Image, image_key, label_key, title
        )
        self.class_names = _class_names(features, label, title)
        self._title, self._image = title, image
        # As they are stored, not as tensors of some framework.
        dataset = dataset.with_format(None)
        column = dataset.select_columns([label])[:][label]
        found = [-1 if value is None else value for value in column]
        several, count = _is_sequence(features[label]), len(self.class_names)
        for index, stored in enumerate(found):
            for one in [stored] if isinstance(stored, int) else stored:
                check_label(f"{title}[{index}]", one, count)
        self.labels = np.asarray([] if several else found, "int32")
        if several:
            self.labels = np.zeros((len(found), count), "uint8")
            for row, stored in zip(self.labels, found, strict=True):
                row[stored] = 1
        # The bytes of a file: how it is decoded is not left to the package.
        images = package.Image(decode=False)
        columns = dataset.select_columns([image])
        self._images = columns.cast_column(image, images)

    def __len__(self):
        return len(self.labels)

    def record(self, index: int) -> tuple[bytes, Any]:
        """Return the bytes of an image file, and its label.

        Raises:
            ValueError: If it cannot be read; the message names the record.
        """
        value = self._images[int(index)][self._image]
        data, path = (value or {}).get("bytes"), (value or {}).get("path")
        if data is None:
            if not path:
                raise ValueError(f"{self.name(index)}: there is no image")
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError as error:
                raise ValueError(
                    f"{self.name(index)}: {path}: {error.strerror or error}"
                ) from None
        return data, label_at(self.labels, index)

    def name(self, index: int) -> str:
        """Return the title and the number."""
        return f"{self._title}[{index}]"


def open_tfds(
    name: str,
    split: str,
    data_dir: str | os.PathLike | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
) -> TfdsRecords:
    """Open a data set of TensorFlow Datasets for random access.

    It is downloaded and prepared, as ArrayRecord files, unless it is there.

    Args:
        name: The data set, with its configuration and version if you like.
        split: Name of its split, such as `"train"` or `"train[:90%]"`.
        data_dir: Where it is or shall be; by default where the package
            keeps its data.
        image_key: Name of the feature that is the image. Defaults to
            `"image"`, or to the only one of the kind.
        label_key: Name of the feature that is the class. Defaults to
            `"label"`, or to the only one of the kind.

    Returns:
        A `TfdsRecords`.

    Raises:
        ImportError: If the package is missing.
        ValueError: If it has no such features.

    Example:
    >>> records = open_tfds("oxford_flowers102", "test")  # doctest: +SKIP
    >>> data, label = records.record(0)  # doctest: +SKIP
    """
    return TfdsRecords(name, split, data_dir, image_key, label_key)


def open_huggingface(
    dataset: "str | datasets.Dataset",
    split: str | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
) -> HuggingFaceRecords:
    """Open an image data set of the Hugging Face hub for random access.

    Args:
        dataset: Its name, which the package downloads unless it is there; or
            a `datasets.Dataset` without a transform. No dict of splits, and
            no stream, whose records have no numbers.
        split: Name of its split, such as `"train"`; `None` for a `Dataset`.
        image_key: Name of the column of images. Defaults to `"image"`, or to
            the only one of the kind.
        label_key: Name of the column of classes, or of sequences of them.
            Defaults to `"label"`, or to the only one of the kind.

    Returns:
        A `HuggingFaceRecords`.

    Raises:
        ImportError: If the package is missing.
        ValueError: If it is none of these, has no such columns, or images
            without a class.

    Example:
    >>> records = open_huggingface("beans", "test")  # doctest: +SKIP
    >>> data, label = records.record(0)  # doctest: +SKIP
    """
    package = _import("datasets", "huggingface")
    named = isinstance(dataset, str)
    if named == (split is None):
        raise ValueError(
            "`split` must be given for a data set by name, and None for a "
            f"Dataset. Received: split={split!r}"
        )
    title = "dataset"
    if named:
        title = f"{dataset} {split}"
        dataset = package.load_dataset(dataset, split=split)
    return HuggingFaceRecords(dataset, title, image_key, label_key)


def _import(package, extra):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"This needs the package {package}: "
            f"pip install 'keras_tricks[{extra}]'"
        ) from error


def _check_dataset(dataset, package):
    """Refuse what is no plain `datasets.Dataset`, with what to do."""
    kind = type(dataset).__name__
    if isinstance(dataset, dict):
        splits = ", ".join(map(str, dataset))
        raise ValueError(
            f"`dataset` must be one split, such as dataset['train']. "
            f"Received: a {kind} of {splits or 'none'}"
        )
    if not isinstance(dataset, package.Dataset):
        raise ValueError(
            "`dataset` must be a datasets.Dataset, whose records are read by "
            "number; a stream becomes one where it is loaded without "
            f"streaming=True. Received: {kind}"
        )
    if dataset.format["type"] == "custom":
        raise ValueError(
            "`dataset` must have no transform of its own, since images are "
            "transformed here: give dataset.with_format(None). Received: one "
            "with set_transform or with_transform"
        )
    return dataset


def _choose(features, image_kind, image_key, label_key, source):
    """Return the names of image and class among features."""
    images = [k for k, kind in features.items() if isinstance(kind, image_kind)]
    labels = [k for k, kind in features.items() if _names(kind)]
    return (
        choose_key("image_key", image_key, images, features, source),
        choose_key("label_key", label_key, labels, features, source),
    )


def _names(feature):
    """Return the names of classes, of a sequence of them too."""
    inner = feature.feature if _is_sequence(feature) else feature
    return getattr(inner, "names", None)


def _is_sequence(feature):
    return hasattr(feature, "feature")


def _class_names(features, label, source):
    names = _names(features[label])
    if not names or len(names) < 2:
        raise ValueError(
            "`label_key` must be a feature with the names of classes in "
            f"{source}. Received: label_key={label!r}"
        )
    return tuple(names)
