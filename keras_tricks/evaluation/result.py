"""What an evaluation found, and the figures that are made from it."""

import dataclasses
import math

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.metrics.balanced_accuracy import balanced_accuracy
from keras_tricks.metrics.calibration_error import (
    calibration_bins,
    calibration_error,
)
from keras_tricks.report.page import missing_extra


@dataclasses.dataclass(frozen=True)
class Share:
    """How many of how many, with its 95 % interval.

    The interval is Wilson's score interval, by SciPy: of the images as a
    sample of many more like them.

    Args:
        hits: How many.
        count: Of how many.

    Example:
    >>> share = Share(90, 100)
    >>> share.value, round(share.low, 3), round(share.high, 3)
    (0.9, 0.826, 0.945)
    """

    hits: int
    count: int

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.hits / self.count if self.count else math.nan

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self._interval()[1]

    def _interval(self):
        if not self.count:
            return math.nan, math.nan
        try:
            from scipy import stats
        except ImportError as error:
            raise missing_extra(error) from None
        test = stats.binomtest(self.hits, self.count)
        low, high = test.proportion_ci(0.95, method="wilson")
        return float(low), float(high)

    def __str__(self):
        return (
            f"{100 * self.value:.2f} % "
            f"({100 * self.low:.2f} to {100 * self.high:.2f})"
        )


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """How a class fared.

    Attributes:
        index: The class.
        top_1: `Share` of its images that are classified as it: its recall.
        top_5: `Share` of its images that have it among the first five.
        confused_with: The class that most of its other images are taken for,
            or `None`.
        confusions: How many are.
    """

    index: int
    top_1: Share
    top_5: Share
    confused_with: int | None
    confusions: int


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """What an evaluation found. `evaluate` makes one.

    Args:
        indices: Which images they are, shape `(N,)`.
        labels: Their classes, shape `(N,)`.
        top: The first classes by probability, shape `(N, min(5, K))`.
        top_probabilities: Their probabilities, of the same shape.
        ranks: Place of the label among the classes, from 0, shape `(N,)`.
        label_log_probabilities: Logarithm of its probability, shape `(N,)`.
        names: What each image is called.
        classes: A `ClassNames`, or `None` if unknown.
        num_classes: K.
        bad: Why an image could not be read, for each of those.
        seconds: How long it took.

    Example:
    >>> evaluation = Evaluation(
    ...     indices=np.arange(2), labels=np.array([0, 1]),
    ...     top=np.array([[0, 1], [0, 1]]),
    ...     top_probabilities=np.array([[0.9, 0.1], [0.6, 0.4]]),
    ...     ranks=np.array([0, 1]),
    ...     label_log_probabilities=np.log([0.9, 0.4]),
    ...     names=("a.png", "b.png"), classes=None, num_classes=2,
    ... )
    >>> str(evaluation.accuracy())
    '50.00 % (9.45 to 90.55)'
    >>> evaluation.mistakes().tolist()
    [1]
    """

    indices: np.ndarray
    labels: np.ndarray
    top: np.ndarray
    top_probabilities: np.ndarray
    ranks: np.ndarray
    label_log_probabilities: np.ndarray
    names: tuple[str, ...]
    classes: ClassNames | None
    num_classes: int
    bad: tuple[str, ...] = ()
    seconds: float = 0.0

    def __len__(self):
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """The class of the largest probability, shape `(N,)`."""
        return self.top[:, 0]

    @property
    def confidences(self) -> np.ndarray:
        """The largest probability, shape `(N,)`."""
        return self.top_probabilities[:, 0]

    @property
    def crossentropy(self) -> float:
        """Mean of `-log p` of the label, in nats."""
        return float(-self.label_log_probabilities.mean())

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes, see `keras_tricks.metrics`."""
        return balanced_accuracy(self.labels, self.predicted, self.num_classes)

    def accuracy(self, k: int = 1) -> Share:
        """Return the share of images with the label among the first k."""
        check_int("k", k, 1)
        return Share(int((self.ranks < k).sum()), len(self))

    def calibration_bins(self, bins: int = 15) -> tuple[np.ndarray, ...]:
        """Count, summed confidence and hits of each bin of confidence."""
        return calibration_bins(self.confidences, self.ranks == 0, bins)

    def calibration_error(self, bins: int = 15) -> float:
        """Return what `keras_tricks.metrics.calibration_error` returns."""
        return calibration_error(self.confidences, self.ranks == 0, bins)

    def confusions(self) -> np.ndarray:
        """Count the images of class i taken for class j, shape `(K, K)`."""
        size = self.num_classes
        flat = self.labels.astype("int64") * size + self.predicted
        return np.bincount(flat, minlength=size**2).reshape(size, size)

    def mistakes(self) -> np.ndarray:
        """Return the images with a wrong first class, the most certain first.

        Returns:
            Positions in the arrays of this object.
        """
        wrong = np.flatnonzero(self.ranks > 0)
        return wrong[np.argsort(-self.confidences[wrong], kind="stable")]

    def per_class(self) -> list[ClassResult]:
        """Return the classes that have images, the worst top-1 first."""
        results = []
        for index in np.unique(self.labels).tolist():
            own = self.labels == index
            ranks = self.ranks[own]
            wrong = self.predicted[own][ranks > 0]
            others = np.bincount(wrong, minlength=1)
            results.append(
                ClassResult(
                    index,
                    Share(int((ranks == 0).sum()), len(ranks)),
                    Share(int((ranks < 5).sum()), len(ranks)),
                    int(others.argmax()) if len(wrong) else None,
                    int(others.max()),
                )
            )
        return sorted(results, key=lambda r: (r.top_1.value, r.top_5.value))

    def class_name(self, index: int) -> str:
        """Return a class's name, or its number if the names are unknown."""
        return str(index) if self.classes is None else self.classes.names[index]

    def to_dict(self) -> dict:
        """Return all figures as plain numbers and strings, for JSON."""

        def share(value):
            return {
                "value": value.value,
                "low": value.low,
                "high": value.high,
                "hits": value.hits,
            }

        figures = {"images": len(self), "classes": self.num_classes}
        figures["top_1"] = share(self.accuracy())
        if self.num_classes > 5:
            figures["top_5"] = share(self.accuracy(5))
        return figures | {
            "balanced_accuracy": self.balanced_accuracy,
            "crossentropy": self.crossentropy,
            "calibration_error": self.calibration_error(),
            "mean_confidence": float(self.confidences.mean()),
            "seconds": round(self.seconds, 2),
            "unreadable": list(self.bad),
            "per_class": [
                {
                    "index": result.index,
                    "name": self.class_name(result.index),
                    "images": result.top_1.count,
                    "top_1": result.top_1.value,
                    "top_5": result.top_5.value,
                    "confused_with": result.confused_with,
                    "confusions": result.confusions,
                }
                for result in self.per_class()
            ],
        }
