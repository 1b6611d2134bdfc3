import keras
import numpy as np
from keras import ops

from keras_tricks._checks import check_int
from keras_tricks._types import DType, Tensor
from keras_tricks.losses._targets import check_logit_values, nan_where
from keras_tricks.metrics.dominant_label_accuracy import (
    dominant_label_accuracy,
)


def calibration_bins(
    confidences: np.ndarray, hits: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, ...]:
    """Sort predictions into bins of equal width by their confidence.

    Bin b of B is `b / B < confidence <= (b + 1) / B`; the first one has 0 too.

    Args:
        confidences: Largest probability of each prediction, shape (N,).
        hits: Whether it is right, shape (N,).
        bins: B. Defaults to 15.

    Returns:
        Float64 arrays of shape (B,): number of predictions, sum of their
        confidences, number of those that are right.

    Example:
    >>> count, confidence, hits = calibration_bins(
    ...     np.array([0.5, 0.9, 1.0]), np.array([True, False, True]), bins=2
    ... )
    >>> count.tolist(), confidence.tolist(), hits.tolist()
    ([1.0, 2.0], [0.5, 1.9], [1.0, 1.0])
    """
    check_int("bins", bins, 1)
    confidences = np.asarray(confidences, "float64")
    index = np.clip(np.ceil(confidences * bins) - 1, 0, bins - 1).astype(int)
    weights = (None, confidences, np.asarray(hits, "float64"))
    return tuple(
        np.bincount(index, weight, minlength=bins).astype("float64")
        for weight in weights
    )


def calibration_error(
    confidences: np.ndarray, hits: np.ndarray, bins: int = 15
) -> float:
    """Compute the expected calibration error of confidences.

    Formula: `ECE = Σ_b (n_b / N) |accuracy_b - confidence_b|` over bins of
    equal width, with the means of both over the `n_b` predictions in a bin.

    Args:
        confidences: Largest probability of each prediction, shape (N,).
        hits: Whether it is right, shape (N,).
        bins: Number of bins. Defaults to 15.

    Returns:
        A float in [0, 1]; NaN without predictions.

    Raises:
        ValueError: If the shapes differ, or a confidence is none.

    Example:
    >>> confidences = np.array([0.75, 0.75, 0.75, 0.75])
    >>> calibration_error(confidences, np.array([1, 1, 1, 0]))
    0.0

    Reference:
        - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section 2
    """
    confidences, hits = np.asarray(confidences), np.asarray(hits)
    if confidences.shape != hits.shape or confidences.ndim != 1:
        raise ValueError(
            "`confidences` and `hits` must both have shape (N,). Received: "
            f"confidences.shape={confidences.shape}, hits.shape={hits.shape}"
        )
    wrong = confidences[~((confidences >= 0) & (confidences <= 1.0001))]
    if wrong.size:
        raise ValueError(
            "`confidences` must be probabilities, from 0 to 1. "
            f"Received: {wrong[0]}"
        )
    count, confidence, right = calibration_bins(confidences, hits, bins)
    if not count.sum():
        return float("nan")
    return float(np.abs(right - confidence).sum() / count.sum())


@keras.saving.register_keras_serializable("keras_tricks")
class CalibrationError(keras.metrics.Metric):
    """Expected calibration error of logits, over bins of equal width.

    See `calibration_error`; the confidence is the largest entry of
    `softmax(z)`, in float32. Mixed labels count by the dominant one.

    Args:
        bins: Number of bins. Defaults to 15.
        name: Name of the metric.
        dtype: As of every Keras metric.

    Call arguments:
        y_true: Labels (B,), (B, 1), (B, K) or packed targets (B, 2K).
        y_pred: Logits (B, K).

    Raises:
        ValueError: For an argument outside its range; at the call, for
            probabilities in place of logits where values can be read; the
            result is NaN where not.

    Example:
    >>> metric = CalibrationError()
    >>> metric.update_state(np.array([0]), np.array([[0.0, 0.0]]))
    >>> float(metric.result())
    0.5

    Reference:
        - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section 2
    """

    def __init__(
        self,
        bins: int = 15,
        name: str = "calibration_error",
        dtype: DType = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.bins = check_int("bins", bins, 1)
        self._direction = "down"
        self.total = self._sums((), "total")
        self.gaps = self._sums((self.bins,), "gaps")

    def _sums(self, shape, name):
        return self.add_variable(
            shape=shape, initializer="zeros", dtype="float32", name=name
        )

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        hits = dominant_label_accuracy(y_true, y_pred)
        found = check_logit_values("y_pred", ops.convert_to_tensor(y_pred))
        probabilities = ops.softmax(ops.cast(y_pred, "float32"), axis=-1)
        confidence = ops.amax(probabilities, axis=-1)
        index = ops.ceil(confidence * self.bins) - 1
        index = ops.cast(ops.clip(index, 0, self.bins - 1), "int32")
        weight = ops.ones_like(hits)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = ops.broadcast_to(ops.reshape(weight, (-1,)), hits.shape)
        rows = ops.one_hot(index, self.bins, dtype="float32")
        gaps = nan_where([found], (hits - confidence) * weight)
        gaps = ops.expand_dims(gaps, -1)
        self.gaps.assign_add(ops.sum(rows * gaps, axis=0))
        self.total.assign_add(ops.sum(weight))

    def result(self) -> Tensor:
        gap = ops.sum(ops.abs(self.gaps))
        return ops.divide_no_nan(gap, self.total)

    def get_config(self) -> dict:
        return {"name": self.name, "dtype": self.dtype, "bins": self.bins}
