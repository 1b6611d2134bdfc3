"""Image files of any source, to be read while training runs."""

import dataclasses
import os

import numpy as np

from keras_tricks._text import class_name, printable
from keras_tricks.data.source_kinds import (
    check_unused,
    given_options,
    hub_of,
    open_hub_test,
    shards_at,
)
from keras_tricks.data.sources.arrays import (
    classes_in_turn,
    stratified_split,
)
from keras_tricks.data.sources.folder_split import open_folder_splits
from keras_tricks.data.sources.labels import count_classes, has_several
from keras_tricks.data.sources.load import check_is_npz, load, load_npz
from keras_tricks.data.sources.records import (
    ArrayRecords,
    Records,
    SomeRecords,
)
from keras_tricks.data.transforms.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True, repr=False)
class ImageSet:
    """A training and a test split that are read record by record.

    What `ImageData` is for images in memory.

    Args:
        train: Training records.
        test: Test records.
        preprocessing: How test images are seen, and how all are normalized.
        name: Name of the data set.

    Raises:
        ValueError: If there are fewer than two classes, or a split is empty.

    Example:
    >>> from keras_tricks.data import ArrayRecords
    >>> split = ArrayRecords(
    ...     np.zeros((2, 9, 9, 3), "uint8"), np.array([0, 1]), ("a", "b")
    ... )
    >>> ImageSet(split, split, Preprocessing(8))
    ImageSet(name='images', train=2, test=2, num_classes=2)
    """

    train: Records
    test: Records
    preprocessing: Preprocessing
    name: str = "images"

    def __post_init__(self):
        object.__setattr__(self, "name", printable(self.name))
        if self.num_classes < 2:
            raise ValueError(
                "`class_names` must hold at least two names. "
                f"Received: {self.num_classes} in {self.name}"
            )
        for split in ("train", "test"):
            if not len(getattr(self, split)):
                raise ValueError(
                    f"The {split} split must hold at least one record. "
                    f"Received: none in {self.name}"
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(map(class_name, self.train.class_names))

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self.train)

    @property
    def multi_label(self) -> bool:
        """Whether an image may be of several classes, or of none."""
        return has_several(self.train)

    @property
    def class_counts(self) -> np.ndarray | None:
        """Number of training records of each class, shape (K,).

        `None` where only reading a record tells its label.
        """
        labels = self.train.labels
        return (
            None if labels is None else count_classes(labels, self.num_classes)
        )

    def __repr__(self):
        return (
            f"ImageSet(name={self.name!r}, train={len(self.train)}, "
            f"test={len(self.test)}, num_classes={self.num_classes})"
        )


def open_images(
    dataset: str = "digits",
    data_dir: str | os.PathLike | None = None,
    preprocessing: Preprocessing | None = None,
    train_samples: int | None = None,
    test_samples: int | None = None,
    seed: int = 0,
    image_key: str | None = None,
    label_key: str | None = None,
    label_offset: int = 0,
    validation_share: float = 0.0,
    split_seed: int = 0,
    ignore_label: int | None = None,
    multi_label: bool = False,
) -> ImageSet:
    """Open images of any source, without reading them yet.

    Args:
        dataset: A name as for `load`; `"tfds/NAME"`, of
            `tensorflow_datasets`; or `"huggingface/NAME"`, of `datasets`.
        data_dir: A path, which wins:

            | path | source |
            |---|---|
            | folder of class folders, or with a table | see `open_folder_splits` |
            | folder with `*.tfrecord*` or `*.array_record*` | see `open_record_shards` |
            | folder with `*.tar` | see `open_tar_shards` |
            | `.npz` | see `load_npz` |
        preprocessing: How test images are seen. Defaults to
            `Preprocessing()`.
        train_samples: Keep this many training images, the classes in turn.
        test_samples: Keep this many test images.
        seed: Seed of `train_samples`.
        image_key: Of shards and hubs, the name of the feature or column that
            is the image. Defaults to the usual one, or the only one.
        label_key: Name of the one that is the class, likewise.
        label_offset: Of shards, what the label of the first class is stored
            as. Defaults to 0.
        validation_share: Share of each class of the training images that
            takes the place of the test images.
        split_seed: Seed of that choice.
        ignore_label: Of an `.npz`: images with this label are left out.
        multi_label: Whether an image may be of several classes where the
            data do not show it: a table of labels, an .npz, or shards.

    Returns:
        An `ImageSet`.

    Raises:
        FileNotFoundError: If there is no such path.
        ValueError: If the data are not as described.
        ImportError: If a package is missing; the message names the extra.

    Example:
    >>> open_images("digits", train_samples=100)
    ImageSet(name='digits', train=100, test=359, num_classes=10)
    """  # noqa: E501
    options = given_options(image_key, label_key, label_offset)
    if ignore_label is not None:
        check_is_npz(data_dir, ignore_label)
    if data_dir is None:
        train, test = _named(dataset, options)
        name = dataset
    else:
        path = os.path.abspath(os.fspath(data_dir))
        train, test = _at(path, options, ignore_label, multi_label)
        name = os.path.basename(path)
    if multi_label and not has_several(train):
        raise ValueError(
            f"`multi_label` must be False for {printable(name)}, whose images "
            "are of one class each. Received: multi_label=True"
        )
    if validation_share:
        labels = train.labels  # Without them all are of one kind.
        if labels is None:
            labels = np.zeros(len(train), "int32")
        chosen, held_out = stratified_split(
            labels, validation_share, split_seed
        )
        train, test = SomeRecords(train, chosen), SomeRecords(train, held_out)
    splits: list[Records] = []
    for split, records, samples, order_seed in (
        ("train", train, train_samples, seed),
        ("test", test, test_samples, 0),
    ):
        if samples is not None:
            chosen = classes_in_turn(
                records.labels,
                len(records),
                samples,
                order_seed,
                name=f"{split}_samples",
                of=f"the {split} set, which has {len(records)}",
            )
            records = SomeRecords(records, chosen)
        splits.append(records)
    train, test = splits
    return ImageSet(train, test, preprocessing or Preprocessing(), name)


def _named(dataset, options):
    hub = hub_of(dataset, options)
    if hub is not None:
        return hub("train"), open_hub_test(hub, dataset)
    return _arrays(load(dataset))


def _at(path, options, ignore_label, multi_label):
    shards = shards_at(path) if os.path.isdir(path) else None
    if shards is not None:
        _, opener = shards
        if multi_label:
            options = {**options, "multi_label": True}
        return tuple(
            opener(path, split=split, **options) for split in ("train", "test")
        )
    check_unused(options, path)
    if not os.path.isdir(path):
        return _arrays(load_npz(path, ignore_label, multi_label))
    return open_folder_splits(path, multi_label=multi_label)


def _arrays(data):
    return (
        ArrayRecords(
            data.x_train, data.y_train, data.class_names, f"{data.name} train"
        ),
        ArrayRecords(
            data.x_test, data.y_test, data.class_names, f"{data.name} test"
        ),
    )
