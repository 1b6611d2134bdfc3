"""The labeled images that a classifier is evaluated on."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_tricks._image_size import size_text
from keras_tricks._text import printable
from keras_tricks._types import Images
from keras_tricks.data import (
    EvaluationBatches,
    ImageFiles,
    ImageSet,
    Preprocessing,
)
from keras_tricks.data.open_test_images import open_test_images
from keras_tricks.data.source_kinds import check_unused, given_options
from keras_tricks.data.sources.arrays import ImageData, classes_in_turn
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.decoded_records import DecodedRecords
from keras_tricks.data.sources.labels import is_multi_hot
from keras_tricks.data.sources.records import take_records
from keras_tricks.data.transforms import channel_statistics
from keras_tricks.data.transforms.preprocessing import normalize
from keras_tricks.evaluation.classifier import Classifier
from keras_tricks.training import load_data


@dataclasses.dataclass(frozen=True, repr=False)
class LabeledImages:
    """Images with labels, and how a classifier looks at them.

    `load_images` makes one.

    Args:
        images: `images[i]` is uint8 `(H, W, C)`, or raises a `ValueError`.
        labels: Integers, shape `(N,)`, or 0 and 1, shape `(N, K)`.
        names: What each image is called.
        transform: `function(image)`: one crop or several, see
            `EvaluationBatches`.
        normalize: `function(crops)`: float32.
        classes: The classes that the labels count; `None` if unknown.
        source: Where they come from, for reports.
        preprocessing: What `transform` and `normalize` are of, for reports;
            `None` if the images are seen as training saw them.

    Raises:
        ValueError: If the lengths differ.

    Example:
    >>> from keras_tricks.data import Preprocessing
    >>> preprocessing = Preprocessing(8)
    >>> images = LabeledImages(
    ...     np.zeros((2, 9, 9, 3), "uint8"), np.array([0, 1]), ("a", "b"),
    ...     preprocessing.transform, preprocessing.normalize,
    ... )
    >>> len(images)
    2
    """

    images: Images
    labels: np.ndarray
    names: Sequence[str]
    transform: Callable
    normalize: Callable
    classes: ClassNames | None = None
    source: str = "images"
    preprocessing: Preprocessing | None = None

    def __post_init__(self):
        lengths = {len(x) for x in (self.images, self.labels, self.names)}
        if len(lengths) > 1 or not len(self.labels):
            raise ValueError(
                "`images`, `labels` and `names` must have the same length, at "
                f"least 1. Received: {len(self.images)}, {len(self.labels)}, "
                f"{len(self.names)}"
            )

    def __len__(self):
        return len(self.labels)

    @property
    def multi_label(self) -> bool:
        """Whether an image may be of several classes."""
        return is_multi_hot(self.labels)

    @property
    def how(self) -> str:
        """What is done to an image, in a line."""
        own = self.preprocessing
        if own is None:
            return "as in training"
        size = size_text(own.image_size)
        if own.resize == "letterbox":
            return f"letterbox of {size} ({own.interpolation}), {own.channels}"
        first = f"short side {own.short_side}"
        if not isinstance(own.image_size, int):
            first = f"covering {size_text(own.covered)}"
        crops = "central" if self.transform == own.transform else "ten crops of"
        return f"{first} ({own.interpolation}), {crops} {size}, {own.channels}"

    def batches(
        self, batch_size: int = 64, workers: int | None = None
    ) -> EvaluationBatches:
        """Return the batches, see `keras_tricks.data.EvaluationBatches`."""
        return EvaluationBatches(
            self.images,
            self.transform,
            self.normalize,
            batch_size,
            workers,
        )


def load_images(
    classifier: Classifier,
    data_dir: str | os.PathLike | None = None,
    dataset: str | None = None,
    ten_crop: bool = False,
    samples: int | None = None,
    **options: Any,
) -> LabeledImages:
    """Find the images that a classifier is to be evaluated on.

    Args:
        classifier: From `load_classifier`.
        data_dir: All that `keras_tricks.data.open_images` reads, and a .tar
            file of images; of what has splits, the test split is taken.
        dataset: The name of a data set, as there, whose test split is taken.
            With neither of the two, the validation images of the training
            run, exactly as training saw them.
        ten_crop: Whether to look at ten crops of each image, see
            `keras_tricks.data.transforms.ten_crop`. Defaults to `False`.
        samples: How many images to take, the classes in turn; all by default.
        **options: `image_key`, `label_key` and `label_offset` of
            `keras_tricks.data.open_images`.

    Returns:
        A `LabeledImages`. Where the data name the model's classes, in any
        order, the labels are the model's.

    Raises:
        ValueError: If the data are not as described, have no labels, have
            some other classes than the model, or another number of classes
            than it has outputs.
        FileNotFoundError: If `data_dir` does not exist.

    Example:
    >>> from keras_tricks import models
    >>> from keras_tricks.data import Preprocessing
    >>> model = models.ResNet18D(
    ...     num_classes=10, width=4, input_shape=(32, 32, 3)
    ... )
    >>> classifier = Classifier(model, Preprocessing(32))
    >>> images = load_images(classifier, dataset="digits", samples=50)
    >>> len(images), images.classes.names[:2]
    (50, ('0', '1'))
    """
    if data_dir is None and dataset is None:
        check_unused(given_options(**options), "the images of a run")
        images = _of_run(classifier, ten_crop, samples)
    else:
        images = _from_elsewhere(
            classifier, data_dir, dataset, ten_crop, samples, options
        )
    count = None if images.classes is None else len(images.classes)
    if count not in (None, classifier.num_classes):
        raise ValueError(
            "`classes` must name the classes of the model's "
            f"{classifier.num_classes} outputs, because the data have others. "
            f"Received: {count} classes in {images.source}"
        )
    return images


def _of_run(classifier, ten_crop, samples):
    """Return the validation images of a training run, as training saw them."""
    if classifier.recipe is None:
        raise ValueError(
            "`data_dir` or `dataset` must be given, unless the model is in "
            f"the folder of a training run. Received: {classifier.source}"
        )
    if ten_crop:
        raise ValueError(
            "`ten_crop` must be False for the validation images of a training "
            "run, which have the size of the network. Received: ten_crop=True"
        )
    data = load_data(classifier.recipe)
    if isinstance(data, ImageSet):
        return _of_records(data, classifier, samples)
    return _arrays(
        data,
        samples,
        transform=np.asarray,
        normalize=training_normalize(classifier, data),
    )


def _of_records(data, classifier, samples):
    """Return the test split of a run that read its images while it trained."""
    own = check_preprocessing(classifier)
    images = DecodedRecords(take_records(data.test, samples))
    return LabeledImages(
        images,
        images.labels,
        images.names,
        own.transform,
        own.normalize,
        ClassNames(data.class_names),
        f"{data.name}, test split",
        own,
    )


def training_normalize(classifier: Classifier, data: ImageData) -> Callable:
    """Return how a training run normalized its images.

    Args:
        classifier: Of the run.
        data: The data set of the run.

    Returns:
        `function(images)`: that of the model's preprocessing; of images that
        no `Preprocessing` describes, by their mean and standard deviation.
    """
    own = getattr(classifier.model, "preprocessing", None)
    if own is not None:
        return own.normalize
    mean, std = channel_statistics(data.x_train)
    return functools.partial(normalize, mean=mean, std=std)


def _arrays(data: ImageData, samples, own=None, **options):
    x, y, chosen = data.x_test, data.y_test, range(len(data.y_test))
    if samples is not None:
        chosen = np.sort(classes_in_turn(y, len(y), samples))
        x, y = x[chosen], y[chosen]
    y, classes = _labels_of(own, y, ClassNames(data.class_names))
    return LabeledImages(
        x,
        y,
        [f"{data.name}[{i}]" for i in chosen],
        classes=classes,
        source=f"{data.name}, test split",
        **options,
    )


def _labels_of(own, labels, classes):
    """Return labels and classes of a model, where the data name its classes."""
    order = None if own is None else own.labels_of(classes)
    if order is None:
        return labels, classes
    if is_multi_hot(labels):
        rows = np.zeros((len(labels), len(own)), labels.dtype)
        rows[:, order] = labels
        return np.where((labels < 0).any(1)[:, None], -1, rows), own
    return np.where(labels < 0, labels, order[labels]), own


def _from_elsewhere(classifier, data_dir, dataset, ten_crop, samples, keys):
    preprocessing = check_preprocessing(classifier)
    options = {
        "transform": preprocessing.views(ten_crop),
        "normalize": preprocessing.normalize,
        "preprocessing": preprocessing,
    }
    own = classifier.classes
    keys = {**keys, "multi_label": classifier.multi_label}
    files = open_test_images(dataset, data_dir, own, **keys)
    if isinstance(files, ImageData):
        return _arrays(files, samples, own, **options)
    if not isinstance(files, ImageFiles):
        images = DecodedRecords(take_records(files, samples))
        known = getattr(files, "classes", None)
        labels, classes = _labels_of(
            own, images.labels, known or ClassNames(tuple(files.class_names))
        )
        return LabeledImages(
            images,
            labels,
            images.names,
            classes=classes,
            source=_title(data_dir or dataset),
            **options,
        )
    files = files.take(samples)
    if files.labels is None:
        raise ValueError(
            "`data_dir` must hold a folder for each class, or `classes` name "
            f"the start of each file's name. Received: {data_dir}"
        )
    return LabeledImages(
        files,
        files.labels,
        tuple(map(files.name, range(len(files)))),
        classes=files.classes,
        source=_title(data_dir),
        **options,
    )


def _title(source):
    return printable(os.path.basename(os.fspath(source).rstrip("/")))


def check_preprocessing(classifier: Classifier) -> Preprocessing:
    """Return the preprocessing of a classifier.

    Raises:
        ValueError: If it is unknown.

    Example:
    >>> from keras_tricks import models
    >>> model = models.ResNet18D(
    ...     num_classes=10, width=4, input_shape=(32, 32, 3)
    ... )
    >>> check_preprocessing(Classifier(model, Preprocessing(32))).short_side
    37
    """
    if classifier.preprocessing is None:
        raise ValueError(
            "`mean` and `std` must be given, because nothing tells how the "
            f"images of this model are normalized. Received: "
            f"{classifier.source}"
        )
    return classifier.preprocessing
