"""The loop over the images."""

import time

import keras
import numpy as np

from keras_tricks._checks import check_int, labels_outside
from keras_tricks.evaluation.classifier import Classifier
from keras_tricks.evaluation.images import LabeledImages
from keras_tricks.evaluation.result import Evaluation

_KEPT = 5


def evaluate(
    classifier: Classifier,
    images: LabeledImages,
    batch_size: int = 64,
    workers: int | None = None,
    verbose: bool = False,
) -> Evaluation:
    """Classify labeled images and keep what all figures are made from.

    Of several crops of an image the probabilities are averaged. All is
    computed in float64 from the float32 outputs of the network.

    Args:
        classifier: From `load_classifier`.
        images: From `load_images`.
        batch_size: Views that the network gets at a time. Defaults to 64.
        workers: Threads that read images. Defaults to one a processor.
        verbose: Whether to show a progress bar. Defaults to `False`.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If no image can be read, labels are out of range, or the
            network gives numbers that are none.

    Example:
    >>> from keras_tricks import models
    >>> from keras_tricks.data import Preprocessing
    >>> from keras_tricks.evaluation import load_images
    >>> model = models.ResNet18D(
    ...     num_classes=10, width=4, input_shape=(32, 32, 3)
    ... )
    >>> classifier = Classifier(model, Preprocessing(32))
    >>> images = load_images(classifier, dataset="digits", samples=20)
    >>> evaluate(classifier, images).accuracy().count
    20
    """
    check_int("batch_size", batch_size, 1)
    labels = np.asarray(images.labels)
    _check_labels(labels[labels != -1], classifier.num_classes)
    start = time.perf_counter()
    batches = images.batches(batch_size, workers)
    bar = keras.utils.Progbar(
        len(images),
        width=24,
        verbose=int(verbose),
        stateful_metrics=["top_1"],
        unit_name="image",
    )
    parts, hits, seen = [], 0, 0
    for x, indices in batches:
        # -1 is for images that cannot be read.
        _check_labels(labels[indices], classifier.num_classes)
        log_p = merge_crops(classifier.log_probabilities(x, batch_size))
        parts.append(_reduce(log_p, labels[indices], indices))
        hits += int((parts[-1]["ranks"] == 0).sum())
        seen += len(indices)
        bar.update(int(indices[-1]) + 1, [("top_1", hits / seen)])
    bad = tuple(batches.bad.values())
    if not parts:
        raise ValueError(
            "`images` must hold one that can be read. Received: "
            f"{len(bad)} that cannot, the first is {bad[0]}"
        )
    if bad:
        bar.update(len(images), finalize=True)
    joined = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    return Evaluation(
        **joined,
        names=tuple(images.names[i] for i in joined["indices"]),
        classes=classifier.classes or images.classes,
        num_classes=classifier.num_classes,
        bad=bad,
        seconds=time.perf_counter() - start,
    )


def merge_crops(log_probabilities: np.ndarray) -> np.ndarray:
    """Average the probabilities of the crops of each image.

    Formula: `log(1 / V Σ_v exp(log p_v))`.

    Args:
        log_probabilities: float64, shape `(B, V, K)`.

    Returns:
        float64, shape `(B, K)`.

    Example:
    >>> merge_crops(np.log([[[0.5, 0.5], [0.1, 0.9]]])).round(3).tolist()
    [[-1.204, -0.357]]
    """
    crops = log_probabilities.shape[1]
    if crops == 1:
        return log_probabilities[:, 0]
    return np.logaddexp.reduce(log_probabilities, axis=1) - np.log(crops)


def _check_labels(labels, num_classes):
    if len(labels) and labels_outside(labels, num_classes).any():
        raise ValueError(
            f"`labels` must be in 0 ... {num_classes - 1}. Received: labels "
            f"from {labels.min()} to {labels.max()}"
        )


def _reduce(log_p, labels, indices):
    """Return what is kept of a batch: of K numbers an image, a few."""
    # Stable, so that of equal numbers the first class wins as in argmax.
    order = np.argsort(-log_p, axis=-1, kind="stable")
    top = order[:, :_KEPT]
    ranks = (order == labels[:, None]).argmax(-1)
    return {
        "indices": indices,
        "labels": labels,
        "top": top,
        "top_probabilities": np.exp(np.take_along_axis(log_p, top, -1)),
        "ranks": ranks,
        "label_log_probabilities": log_p[np.arange(len(labels)), labels],
    }
