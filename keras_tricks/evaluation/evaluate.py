"""The loop over the images."""

import time
from typing import Any

import keras
import numpy as np

from keras_tricks._checks import check_int, labels_outside
from keras_tricks.data.sources.labels import check_labels, is_multi_hot
from keras_tricks.evaluation.classifier import Classifier
from keras_tricks.evaluation.images import LabeledImages
from keras_tricks.evaluation.multi_label import MultiLabelEvaluation
from keras_tricks.evaluation.result import Evaluation

_KEPT = 5


def evaluate(
    classifier: Classifier,
    images: LabeledImages,
    batch_size: int = 64,
    workers: int | None = None,
    verbose: bool = False,
) -> Evaluation | MultiLabelEvaluation:
    """Classify labeled images and keep what all figures are made from.

    Of several crops of an image the probabilities are averaged. All is
    computed in float64 from the float32 outputs of the network. Where images
    may be of several classes, those are probabilities of each class by
    itself, by a sigmoid of its logit.

    Args:
        classifier: From `load_classifier`.
        images: From `load_images`.
        batch_size: Views that the network gets at a time. Defaults to 64.
        workers: Threads that read images. Defaults to one a processor.
        verbose: Whether to show a progress bar. Defaults to `False`.

    Returns:
        An `Evaluation`, or a `MultiLabelEvaluation` of labels of several
        classes.

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
    # -1 is for images that cannot be read.
    known = labels[(labels != -1).reshape(len(labels), -1).all(1)]
    _check_labels(known, classifier)
    several = is_multi_hot(labels)
    start = time.perf_counter()
    batches = images.batches(batch_size, workers)
    bar = keras.utils.Progbar(
        len(images),
        width=24,
        verbose=int(verbose),
        stateful_metrics=["top_1", "right"],
        unit_name="image",
    )
    parts, hits, seen = [], 0, 0
    for x, indices in batches:
        _check_labels(labels[indices], classifier)
        if several:
            p = classifier.class_probabilities(x, batch_size).mean(1)
            rows = labels[indices].astype("uint8")
            part = {"indices": indices, "labels": rows, "probabilities": p}
            right = ((p >= 0.5) == rows).mean(1).sum()
        else:
            log_p = merge_crops(classifier.log_probabilities(x, batch_size))
            part = _reduce(log_p, labels[indices], indices)
            right = (part["ranks"] == 0).sum()
        parts.append(part)
        hits += right
        seen += len(indices)
        name = "right" if several else "top_1"
        bar.update(int(indices[-1]) + 1, [(name, hits / seen)])
    bad = tuple(batches.bad.values())
    if not parts:
        raise ValueError(
            "`images` must hold one that can be read. Received: "
            f"{len(bad)} that cannot, the first is {bad[0]}"
        )
    if bad:
        bar.update(len(images), finalize=True)
    joined: dict[str, Any] = {
        key: np.concatenate([p[key] for p in parts]) for key in parts[0]
    }
    kind = MultiLabelEvaluation if several else Evaluation
    return kind(
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


def _check_labels(labels, classifier):
    several, num_classes = is_multi_hot(labels), classifier.num_classes
    if classifier.multi_label and not several:
        raise ValueError(
            "`images` must have labels of several classes, as those that the "
            "network was trained on. Received: one class of each image"
        )
    if several:
        check_labels("labels", labels, num_classes)
        return
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
