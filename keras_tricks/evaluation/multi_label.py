"""What an evaluation of images of several classes found."""

import dataclasses
import math

import numpy as np

from keras_tricks._checks import check_real
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.metrics.average_precision import (
    average_precision,
    precision_recall,
)


@dataclasses.dataclass(frozen=True)
class MultiLabelClassResult:
    """How a class fared; NaN where nothing can be said.

    Attributes:
        index: The class.
        images: How many images are of it.
        average_precision: See `keras_tricks.metrics.average_precision`.
        precision: Share of those that are said to be of it that are.
        recall: Share of its images that are found.
        f1: Harmonic mean of the two.
    """

    index: int
    images: int
    average_precision: float
    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True, repr=False)
class MultiLabelEvaluation:
    """What an evaluation of images of several classes found.

    `evaluate` makes one. Classes without an image are in no mean over
    classes; the micro figures take all answers of all classes together.

    Args:
        indices: Which images they are, shape `(N,)`.
        labels: 0 and 1, shape `(N, K)`.
        probabilities: Of each class by itself, float64, shape `(N, K)`.
        names: What each image is called.
        classes: A `ClassNames`, or `None` if unknown.
        num_classes: K.
        bad: Why an image could not be read, for each of those.
        seconds: How long it took.
        threshold: From which probability on the answer is yes. Defaults to
            1/2.

    Example:
    >>> evaluation = MultiLabelEvaluation(
    ...     indices=np.arange(2), labels=np.array([[1, 0], [1, 1]]),
    ...     probabilities=np.array([[0.9, 0.6], [0.4, 0.7]]),
    ...     names=("a.png", "b.png"), classes=None, num_classes=2,
    ... )
    >>> evaluation.mean_average_precision, evaluation.per_class()[0].f1
    (1.0, 0.6666666666666666)
    """

    indices: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    names: tuple[str, ...]
    classes: ClassNames | None
    num_classes: int
    bad: tuple[str, ...] = ()
    seconds: float = 0.0
    threshold: float = 0.5

    def __post_init__(self):
        check_real("threshold", self.threshold, 0, 1)

    def __len__(self):
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """Whether the answer is yes, shape `(N, K)`."""
        return self.probabilities >= self.threshold

    @property
    def counts(self) -> np.ndarray:
        """Number of images of each class, shape `(K,)`."""
        return np.asarray(self.labels).sum(0, dtype="int64")

    @property
    def empty_classes(self) -> list[int]:
        """The classes without an image."""
        return np.flatnonzero(self.counts == 0).tolist()

    @property
    def mean_average_precision(self) -> float:
        """Mean over the classes of the average precision: mAP."""
        return _mean(average_precision(self.labels, self.probabilities))

    @property
    def micro_average_precision(self) -> float:
        """Average precision of all answers of all classes together."""
        columns = (x.reshape(-1, 1) for x in (self.labels, self.probabilities))
        return float(average_precision(*columns)[0])

    @property
    def macro_f1(self) -> float:
        """Mean over the classes of F1 at the threshold."""
        return _mean([result.f1 for result in self.per_class()])

    @property
    def micro_f1(self) -> float:
        """F1 at the threshold of all answers of all classes together."""
        return _f1(*(int(count.sum()) for count in self._answers()))

    @property
    def crossentropy(self) -> float:
        """Mean over images and classes of the binary cross-entropy."""
        right = np.where(
            self.labels > 0, self.probabilities, 1 - self.probabilities
        )
        smallest = np.finfo("float64").tiny
        return float(-np.log(np.maximum(right, smallest)).mean())

    def _answers(self):
        """Count right and wrong yes and wrong no of each class."""
        labels, said = np.asarray(self.labels) > 0, self.predicted
        return [
            x.sum(0) for x in (labels & said, ~labels & said, labels & ~said)
        ]

    def curve(self, index: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return precision and recall at each threshold, the highest first.

        Args:
            index: The class; `None` (default) for all together.
        """
        chosen = slice(None) if index is None else index
        labels = np.asarray(self.labels)[:, chosen].ravel()
        scores = self.probabilities[:, chosen].ravel()
        return precision_recall(labels, scores)[:2]

    def per_class(self) -> list[MultiLabelClassResult]:
        """Return the classes that have images, the worst first."""
        values = average_precision(self.labels, self.probabilities)
        right, wrong, missed = self._answers()
        results = []
        for index in np.flatnonzero(self.counts).tolist():
            answers = right[index], wrong[index], missed[index]
            found = right[index] + wrong[index]
            images = int(self.counts[index])
            results.append(
                MultiLabelClassResult(
                    index,
                    images,
                    float(values[index]),
                    float(right[index] / found) if found else math.nan,
                    float(right[index] / images),
                    _f1(*map(int, answers)),
                )
            )
        return sorted(results, key=lambda result: result.average_precision)

    def class_name(self, index: int) -> str:
        """Return a class's name, or its number if the names are unknown."""
        return str(index) if self.classes is None else self.classes.names[index]

    def to_dict(self) -> dict:
        """Return all figures as plain numbers and strings, for JSON."""
        return {
            "images": len(self),
            "classes": self.num_classes,
            "without_images": [
                self.class_name(index) for index in self.empty_classes
            ],
            "threshold": self.threshold,
            "mean_average_precision": _plain(self.mean_average_precision),
            "micro_average_precision": _plain(self.micro_average_precision),
            "macro_f1": _plain(self.macro_f1),
            "micro_f1": self.micro_f1,
            "crossentropy": self.crossentropy,
            "seconds": round(self.seconds, 2),
            "unreadable": list(self.bad),
            "per_class": [
                {
                    "index": result.index,
                    "name": self.class_name(result.index),
                    "images": result.images,
                    "average_precision": result.average_precision,
                    "precision": _plain(result.precision),
                    "recall": result.recall,
                    "f1": result.f1,
                }
                for result in self.per_class()
            ],
        }


def _mean(values):
    """Return the mean of what is known; NaN of nothing."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _f1(right, wrong, missed):
    """Return 2 TP / (2 TP + FP + FN), 0 where there is nothing."""
    return 2 * right / max(2 * right + wrong + missed, 1)


def _plain(value):
    return None if math.isnan(value) else value
