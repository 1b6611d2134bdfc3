"""Inputs to compare an exported file with its network on."""

import os
from typing import Any

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks.data import (
    EvaluationBatches,
    ImageData,
    ImageFiles,
    ImageSet,
)
from keras_tricks.data.open_test_images import open_test_images
from keras_tricks.data.source_kinds import check_unused, given_options
from keras_tricks.data.sources.decoded_records import DecodedRecords
from keras_tricks.data.sources.records import take_records
from keras_tricks.evaluation import Classifier, check_preprocessing
from keras_tricks.evaluation.images import training_normalize
from keras_tricks.training import load_data

_SEED = 0


def example_inputs(
    classifier: Classifier,
    data_dir: str | os.PathLike | None = None,
    random_images: bool = False,
    samples: int = 16,
    **options: Any,
) -> np.ndarray:
    """Make inputs of a network from images.

    Args:
        classifier: From `keras_tricks.evaluation.load_classifier`.
        data_dir: All that `keras_tricks.data.open_images` reads, and a .tar
            file of images; the classes of image files need not be known.
            Defaults to the validation images of the training run.
        random_images: Whether to take noise instead, of mean 0 and
            deviation 1. It says little about real images.
        samples: How many. Defaults to 16.
        **options: `image_key`, `label_key` and `label_offset` of
            `keras_tricks.data.open_images`.

    Returns:
        float32, shape `(N, H, W, C)` or `(N, C, H, W)`, as the network takes
        them. N is less than `samples` if there are fewer images.

    Raises:
        ValueError: If there are no images, none of them can be read, or the
            preprocessing is unknown.
        FileNotFoundError: If `data_dir` does not exist.

    Example:
    >>> from keras_tricks import models
    >>> model = models.ResNet18D(
    ...     num_classes=4, width=4, input_shape=(32, 32, 3)
    ... )
    >>> examples = example_inputs(Classifier(model), random_images=True)
    >>> examples.shape[0], examples.dtype.name
    (16, 'float32')
    """
    check_int("samples", samples, 2)
    if data_dir is None:
        check_unused(given_options(**options), "images without `data_dir`")
    if random_images:
        return _noise(classifier, samples)
    if data_dir is not None:
        return _from_files(classifier, data_dir, samples, options)
    if classifier.recipe is None:
        raise ValueError(
            "`data_dir` must be given to verify the file on real images, or "
            "`random_images` to do without. Received: neither of them"
        )
    data = load_data(classifier.recipe)
    if isinstance(data, ImageSet):
        count = min(samples, len(data.test))
        images = DecodedRecords(take_records(data.test, count))
        return _from_images(classifier, images, samples)
    normalize = training_normalize(classifier, data)
    return classifier.to_layout(normalize(data.x_test[:samples]))


def _noise(classifier, samples):
    shape = classifier.model.input_shape[1:]
    if None in shape:
        size = check_preprocessing(classifier).image_size
        shape = tuple(size if side is None else side for side in shape)
    generator = np.random.default_rng(_SEED)
    return generator.standard_normal((samples, *shape), "float32")


def _from_files(classifier, data_dir, samples, keys):
    found = open_test_images(
        data_dir=data_dir, classes=classifier.classes, labels=False, **keys
    )
    if isinstance(found, ImageData):
        images = found.x_test[:samples]
    elif isinstance(found, ImageFiles):
        images = found.take(min(samples, len(found)))
    else:
        count = min(samples, len(found))
        images = DecodedRecords(take_records(found, count))
    return _from_images(classifier, images, samples)


def _from_images(classifier, images, samples):
    own = check_preprocessing(classifier)
    batches = EvaluationBatches(images, own.transform, own.normalize, samples)
    x = [crops[:, 0] for crops, _ in batches]
    if not x:
        raise ValueError(
            "`data_dir` must hold images that can be read. Received: "
            f"{next(iter(batches.bad.values()))}"
        )
    return classifier.to_layout(np.concatenate(x))
