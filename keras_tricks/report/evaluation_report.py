from pathlib import Path, PurePath
from typing import Any

import numpy as np

from keras_tricks.report import evaluation_figures as figures
from keras_tricks.report.evaluation_page import (
    percent,
    write_evaluation_page,
)

_MISTAKES = 24
_ROWS = 50


def write_evaluation_report(
    path: str | Path,
    evaluation: Any,
    images: Any = None,
    facts: dict | None = None,
    title: str = "Evaluation",
) -> Path:
    """Write a page on an evaluation: one file that needs no network.

    Args:
        path: File to write; its folder must exist.
        evaluation: A `keras_tricks.evaluation.Evaluation`.
        images: The `keras_tricks.evaluation.LabeledImages` it is of, for
            pictures of the worst mistakes. Defaults to `None`: no pictures.
        facts: What else to show, a dict of name to value.
        title: Heading of the page.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
        ImportError: If matplotlib, Jinja2 or SciPy is missing.

    Example:
    >>> import tempfile
    >>> from keras_tricks.evaluation import Evaluation
    >>> evaluation = Evaluation(
    ...     indices=np.arange(2), labels=np.array([0, 1]),
    ...     top=np.array([[0, 1], [0, 1]]),
    ...     top_probabilities=np.array([[0.9, 0.1], [0.6, 0.4]]),
    ...     ranks=np.array([0, 1]),
    ...     label_log_probabilities=np.log([0.9, 0.4]),
    ...     names=("a.png", "b.png"), classes=None, num_classes=2,
    ... )
    >>> path = tempfile.mkdtemp() + "/evaluation.html"
    >>> write_evaluation_report(path, evaluation).name
    'evaluation.html'
    """
    rows = evaluation.per_class()
    return write_evaluation_page(
        path,
        "evaluation_report.html",
        evaluation,
        _tiles(evaluation),
        [_row(evaluation, result) for result in rows[:_ROWS]],
        facts,
        title=title,
        figures=_figures(evaluation),
        confusion=_confusion(evaluation),
        mistakes=[
            _mistake(evaluation, images, position)
            for position in evaluation.mistakes()[:_MISTAKES]
            if images is not None
        ],
        wrong=len(evaluation.mistakes()),
        top_5=evaluation.num_classes > 5,
        classes=len(rows),
    )


def _interval(share):
    return f"{100 * share.low:.2f} to {100 * share.high:.2f}, 95 % interval"


def _tiles(evaluation):
    tiles = []
    for k in (1, 5):
        if evaluation.num_classes > k:
            share = evaluation.accuracy(k)
            tiles.append((f"Top-{k}", percent(share.value), _interval(share)))
    recall = percent(evaluation.balanced_accuracy)
    tiles.append(("Balanced accuracy", recall, "mean recall of the classes"))
    error = evaluation.calibration_error()
    confidence = float(evaluation.confidences.mean())
    tiles.append(
        (
            "Calibration error",
            percent(error),
            f"15 bins; mean confidence {percent(confidence, 1)}",
        )
    )
    crossentropy = f"{evaluation.crossentropy:.4f}"
    tiles.append(("Cross-entropy", crossentropy, "of the labels, in nats"))
    if evaluation.seconds:
        speed = len(evaluation) / evaluation.seconds
        speed = f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"
        tiles.append(("Images per second", speed, "reading included"))
    return tiles


def _figures(evaluation):
    hits = evaluation.ranks == 0
    count, confidence, right = evaluation.calibration_bins()
    over = confidence.sum() > right.sum()
    gap = abs(confidence.sum() - right.sum()) / count.sum()
    word = "above" if over else "below"
    return [
        {
            "title": "Reliability",
            "note": "Dots are means of bins. On the line, confidence is "
            "accuracy.",
            "source": figures.reliability_figure(count, confidence, right),
            "alt": f"Accuracy against confidence in {len(count)} bins; the "
            f"mean confidence is {percent(gap, 1)} {word} the accuracy.",
        },
        {
            "title": "Confidence",
            "note": "The largest probability of each image.",
            "source": figures.confidence_figure(evaluation.confidences, hits),
            "alt": f"Histogram of the confidence of {hits.sum()} right and "
            f"{(~hits).sum()} wrong predictions.",
        },
    ]


def _confusion(evaluation):
    confusions = evaluation.confusions()
    chosen = figures.most_confused(confusions)
    if not len(chosen):
        return None
    totals = confusions.sum(1)
    rows = chosen[totals[chosen] > 0]
    part = confusions[np.ix_(rows, chosen)]
    right = int(confusions[rows, rows].sum())
    note = "Rows are labels, columns what the images were taken for."
    if len(chosen) < len(confusions):
        note += f" The {len(chosen)} classes of the most frequent mistakes."
    return {
        "title": "Confusions",
        "note": note,
        "source": figures.confusion_figure(
            part,
            [evaluation.class_name(index) for index in rows],
            [evaluation.class_name(index) for index in chosen],
            totals[rows],
        ),
        "alt": f"Matrix of {len(rows)} labels and {len(chosen)} classes: "
        f"{right} images are right, {part.sum() - right} are not.",
    }


def _mistake(evaluation, images, position):
    image = images.transform(images.images[evaluation.indices[position]])
    # Of ten crops the fifth is the central one.
    image = image if image.ndim == 3 else image[len(image) // 2 - 1]
    label_share = float(np.exp(evaluation.label_log_probabilities[position]))
    return {
        "source": figures.thumbnail(image),
        "name": PurePath(evaluation.names[position]).name,
        "label": evaluation.class_name(evaluation.labels[position]),
        "label_share": percent(label_share, 1),
        "taken_for": evaluation.class_name(evaluation.predicted[position]),
        "share": percent(float(evaluation.confidences[position]), 1),
        "small": max(image.shape) <= 64,
    }


def _row(evaluation, result):
    confused = "–"
    if result.confused_with is not None:
        name = evaluation.class_name(result.confused_with)
        confused = f"{name} ({result.confusions}×)"
    return {
        "index": result.index,
        "name": evaluation.class_name(result.index),
        "count": result.top_1.count,
        "top_1": percent(result.top_1.value, 1),
        "top_5": percent(result.top_5.value, 1),
        "confused": confused,
    }
