from pathlib import Path
from typing import Any

import numpy as np

from keras_tricks.data.sources.class_names import describe_classes
from keras_tricks.report.evaluation_page import (
    percent,
    write_evaluation_page,
)
from keras_tricks.report.figures import COLORS, as_percent, as_svg

_ROWS = 100
# More curves than this cannot be told apart.
_CURVES = 6


def write_multi_label_report(
    path: str | Path,
    evaluation: Any,
    facts: dict | None = None,
    title: str = "Evaluation",
) -> Path:
    """Write a page on an evaluation of images of several classes.

    Args:
        path: File to write; its folder must exist.
        evaluation: A `keras_tricks.evaluation.MultiLabelEvaluation`.
        facts: What else to show, a dict of name to value.
        title: Heading of the page.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
        ImportError: If matplotlib or Jinja2 is missing.

    Example:
    >>> import tempfile
    >>> from keras_tricks.evaluation import MultiLabelEvaluation
    >>> evaluation = MultiLabelEvaluation(
    ...     indices=np.arange(2), labels=np.array([[1, 0], [1, 1]]),
    ...     probabilities=np.array([[0.9, 0.6], [0.4, 0.7]]),
    ...     names=("a.png", "b.png"), classes=None, num_classes=2,
    ... )
    >>> path = tempfile.mkdtemp() + "/evaluation.html"
    >>> write_multi_label_report(path, evaluation).name
    'evaluation.html'
    """
    results = evaluation.per_class()
    empty = [evaluation.class_name(i) for i in evaluation.empty_classes]
    return write_evaluation_page(
        path,
        "multi_label_report.html",
        evaluation,
        _tiles(evaluation),
        [_row(evaluation, result) for result in results[:_ROWS]],
        facts,
        title=title,
        figures=[_curves(evaluation, results), _bars(evaluation, results)],
        classes=len(results),
        empty=describe_classes(empty) if empty else "",
        threshold=f"{evaluation.threshold:g}",
    )


def _tiles(evaluation):
    chance = np.asarray(evaluation.labels).mean()
    at = f"at {evaluation.threshold:g}"
    return [
        (
            "mAP",
            percent(evaluation.mean_average_precision),
            "mean over classes of the average precision",
        ),
        (
            "Micro AP",
            percent(evaluation.micro_average_precision),
            f"all answers together; by chance {percent(chance, 1)}",
        ),
        ("F1", percent(evaluation.macro_f1), f"mean of the classes, {at}"),
        ("Micro F1", percent(evaluation.micro_f1), f"all answers, {at}"),
        (
            "Cross-entropy",
            f"{evaluation.crossentropy:.4f}",
            "of each answer, in nats",
        ),
    ]


def _curves(evaluation, results):
    """Draw all classes, or of many the worst and the best, and all as one."""
    few = _CURVES // 2
    chosen = results
    if len(results) > _CURVES:
        chosen = results[:few] + results[-few:]

    def draw(axes):
        precision, recall = evaluation.curve()
        axes.step(
            recall, precision, where="pre", color=COLORS[7], linewidth=2,
            label=f"all: {percent(evaluation.micro_average_precision, 1)}",
        )  # fmt: skip
        for color, result in zip(COLORS[1:], chosen, strict=False):
            precision, recall = evaluation.curve(result.index)
            name = evaluation.class_name(result.index)
            share = percent(result.average_precision, 1)
            axes.step(
                recall, precision, where="pre", color=color, linewidth=1.2,
                label=f"{name:.24}: {share}",
            )  # fmt: skip
        # A curve of a perfect class lies on the frame.
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        as_percent(axes.xaxis)
        as_percent(axes.yaxis)
        axes.figure.legend(loc="outside lower center", ncols=2)

    note = "Each step is a threshold."
    if len(chosen) < len(results):
        note += f" The {few} worst classes and the {few} best."
    return {
        "title": "Precision and recall",
        "note": note,
        "source": as_svg(draw, (5.2, 4.8)),
        "alt": "Precision against recall of all answers together, and of "
        f"{len(chosen)} classes.",
    }


def _bars(evaluation, results):
    values = [result.average_precision for result in results]

    def draw(axes):
        axes.hist(
            values, bins=np.linspace(0, 1, 21), color=COLORS[1],
            edgecolor="white",
        )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_xlabel("average precision")
        axes.set_ylabel("classes")
        axes.yaxis.get_major_locator().set_params(integer=True)
        as_percent(axes.xaxis)

    return {
        "title": "Average precision",
        "note": "How many classes have which.",
        "source": as_svg(draw, (5.2, 4.8)),
        "alt": f"Histogram of the average precision of {len(values)} classes.",
    }


def _row(evaluation, result):
    return {
        "index": result.index,
        "name": evaluation.class_name(result.index),
        "images": f"{result.images:,}",
        "ap": percent(result.average_precision, 1),
        "f1": percent(result.f1, 1),
        "precision": percent(result.precision, 1),
        "recall": percent(result.recall, 1),
    }
