import keras
import numpy as np
from keras import ops

from keras_tricks._checks import check_int, labels_outside
from keras_tricks._types import DType, Tensor
from keras_tricks.losses._targets import (
    check_ignore_label,
    check_targets,
    kept_weights,
    nan_where,
    without_ignored,
)
from keras_tricks.metrics.dominant_label_accuracy import (
    dominant_label_accuracy,
    dominant_labels,
)


def balanced_accuracy(
    labels: np.ndarray, predicted: np.ndarray, num_classes: int
) -> float:
    """Compute the mean of the recalls of the classes.

    Formula: `1 / K' Σ_c hits_c / n_c` over the K' classes that have samples.
    A network that always gives the largest class gets 1 / K'.

    Args:
        labels: Integers in 0 ... K - 1, shape (N,).
        predicted: The classes that were predicted, shape (N,).
        num_classes: K.

    Returns:
        A float in [0, 1]; NaN without samples.

    Raises:
        ValueError: If the shapes differ, or a label or a prediction is no
            class.

    Example:
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0], num_classes=2)
    0.5

    Reference:
        - [Brodersen et al., 2010](https://doi.org/10.1109/ICPR.2010.764)
    """
    check_int("num_classes", num_classes, 1)
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise ValueError(
            "`labels` and `predicted` must both have shape (N,). Received: "
            f"labels.shape={labels.shape}, predicted.shape={predicted.shape}"
        )
    for name, values in (("labels", labels), ("predicted", predicted)):
        wrong = values[labels_outside(values, num_classes)]
        if wrong.size:
            raise ValueError(
                f"`{name}` must be classes, integers from 0 to "
                f"{num_classes - 1}. Received: {wrong[0]}"
            )
    recalls = class_recalls(labels, predicted, num_classes)
    return float(np.nanmean(recalls)) if len(labels) else float("nan")


def class_recalls(labels, predicted, num_classes):
    """Return the share of each class that is right; NaN without samples."""
    labels = np.asarray(labels, "int64")
    hits = labels == np.asarray(predicted)
    counts = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[hits], minlength=num_classes)
    recalls = np.full(num_classes, np.nan)
    return np.divide(right, counts, out=recalls, where=counts > 0)


@keras.saving.register_keras_serializable("keras_tricks")
class BalancedAccuracy(keras.metrics.Metric):
    """Mean of the recalls of the classes, each as important as another.

    See `balanced_accuracy`; mixed labels count by the dominant one, with
    sample weights a class by the sum of its weights.

    Args:
        num_classes: K, at least 2.
        ignore_label: Integer labels of this value count nowhere. Defaults to
            None: there is none.
        name: Name of the metric.
        dtype: As of every Keras metric.

    Call arguments:
        y_true: Labels (B,), (B, 1), (B, K) or packed targets (B, 2K).
        y_pred: Logits or probabilities (B, K).

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast; and,
            where values can be read, for labels of weight above 0 that are
            no class, and rows that do not sum to 1. The result is NaN where
            they cannot be read.

    Example:
    >>> metric = BalancedAccuracy(num_classes=2)
    >>> z = np.array([[1.0, 0.0]] * 4)
    >>> metric.update_state(np.array([0, 0, 0, 1]), z)
    >>> float(metric.result())
    0.5

    Reference:
        - [Brodersen et al., 2010](https://doi.org/10.1109/ICPR.2010.764)
    """

    def __init__(
        self,
        num_classes: int,
        ignore_label: int | None = None,
        name: str = "balanced_accuracy",
        dtype: DType = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = check_int("num_classes", num_classes, 2)
        self.ignore_label = check_ignore_label(ignore_label)
        self._direction = "up"
        self.hits = self._sums("hits")
        self.total = self._sums("total")

    def _sums(self, name):
        return self.add_variable(
            shape=(self.num_classes,),
            initializer="zeros",
            dtype="float32",
            name=name,
        )

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        y_true = ops.convert_to_tensor(y_true)
        y_pred = ops.convert_to_tensor(y_pred)
        if y_pred.shape[-1] != self.num_classes:
            raise ValueError(
                "`num_classes` must be that of the logits, "
                f"{y_pred.shape[-1]}. Received: num_classes={self.num_classes}"
            )
        if self.ignore_label is not None:
            _, sample_weight = kept_weights(
                self.ignore_label, y_true, y_pred, sample_weight
            )
        y_true = without_ignored(y_true, y_pred, sample_weight)
        _, wrong = check_targets("y_pred", y_true, y_pred, packed=True)
        labels = dominant_labels(y_true, y_pred)
        hits = dominant_label_accuracy(y_true, y_pred)
        weight = ops.ones_like(hits)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = ops.broadcast_to(ops.reshape(weight, (-1,)), hits.shape)
        # Core's `one_hot` of a label that is no class fails on PyTorch.
        classes = ops.arange(self.num_classes, dtype="int32")
        rows = ops.equal(ops.expand_dims(labels, -1), classes)
        rows = nan_where([wrong], ops.cast(rows, "float32"))
        rows = rows * ops.expand_dims(weight, -1)
        self.total.assign_add(ops.sum(rows, axis=0))
        self.hits.assign_add(ops.sum(rows * ops.expand_dims(hits, -1), axis=0))

    def result(self) -> Tensor:
        recalls = ops.divide_no_nan(self.hits, self.total)
        found = ops.sum(ops.cast(self.total != 0, "float32"))
        return ops.divide_no_nan(ops.sum(recalls), found)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
        }
