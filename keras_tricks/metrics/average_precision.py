import keras
import numpy as np
from keras import ops

from keras_tricks._checks import check_int
from keras_tricks._types import DType, Tensor
from keras_tricks.losses._targets import check_share_values, nan_where
from keras_tricks.metrics.dominant_label_accuracy import hard_targets

# Bins of asinh z between -6 and 6: of logits between -201 and 201.
_BINS, _RANGE = 2048, 12


def average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Compute the average precision of each class, exactly.

    Formula: `Σ_n (R_n - R_{n-1}) P_n` over the distinct scores from the
    largest one down, with precision P and recall R of the samples that have
    at least that score. It is a step function, not interpolated, as that of
    scikit-learn.

    Args:
        labels: 0 and 1, shape (N, K).
        scores: Any numbers, of which larger ones say yes, shape (N, K).

    Returns:
        float64, shape (K,); NaN of a class without a positive sample.

    Raises:
        ValueError: If the shapes differ, a label is neither 0 nor 1, or a
            score is NaN.

    Example:
    >>> labels = np.array([[1, 0], [0, 0], [1, 0]])
    >>> average_precision(labels, np.array([[3, 0], [2, 0], [1, 0]])).tolist()
    [0.8333333333333333, nan]

    Reference:
        - [Everingham et al., 2010](https://doi.org/10.1007/s11263-009-0275-4),
          there interpolated
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.ndim != 2:
        raise ValueError(
            "`labels` and `scores` must both have shape (N, K). Received: "
            f"labels.shape={labels.shape}, scores.shape={scores.shape}"
        )
    wrong = labels[(labels != 0) & (labels != 1)]
    if wrong.size:
        raise ValueError(
            f"`labels` must be 0 or 1. Received: {wrong[0]}, at "
            f"{wrong.size} of {labels.size} places"
        )
    missing = int(np.isnan(scores).sum())
    if missing:
        raise ValueError(
            "`scores` must be numbers. Received: NaN, at "
            f"{missing} of {scores.size} places"
        )
    results = np.full(labels.shape[1], np.nan)
    for index in np.flatnonzero(labels.any(0)):
        precision, recall, _ = precision_recall(
            labels[:, index], scores[:, index]
        )
        results[index] = np.sum(np.diff(recall, prepend=0) * precision)
    return results


def precision_recall(labels, scores):
    """Return precision, recall and threshold at each distinct score."""
    order = np.argsort(-scores, kind="stable")
    sorted_ = scores[order]
    ends = np.flatnonzero(np.append(np.diff(sorted_) != 0, True))
    hits = np.cumsum(labels[order] > 0)[ends]
    return hits / (ends + 1), hits / max(hits[-1], 1), sorted_[ends]


@keras.saving.register_keras_serializable("keras_tricks")
class MeanAveragePrecision(keras.metrics.Metric):
    """Mean over the classes of the average precision, from binned logits.

    Formula: as `average_precision`, of logits z in 2048 bins of equal width
    in asinh z, from -6 to 6: 0.006 wide around 0 and 0.6 % of z far from it,
    up to 201. Those of one bin count as equal, so that two counts of each bin
    are all that is kept, and the value is a little lower, by about 0.001.
    Classes without a positive sample are left out of the mean. A mixed label
    p counts p times as positive and 1 - p times as negative.

    Args:
        num_classes: K, at least 2.
        name: Name of the metric.
        dtype: As of every Keras metric.

    Call arguments:
        y_true: 0 and 1, or mixed ones, (B, K), or packed targets (B, 2K).
        y_pred: Logits (B, K).

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast; and,
            where values can be read, for labels outside of [0, 1]. The
            result is NaN where they cannot, and after a logit that is NaN.

    Example:
    >>> metric = MeanAveragePrecision(num_classes=2)
    >>> labels = np.array([[1, 0], [0, 0], [1, 0]])
    >>> metric.update_state(labels, np.array([[3.0, 0], [2, 0], [1, 0]]))
    >>> round(float(metric.result()), 4)
    0.8333

    Reference:
        - [Everingham et al., 2010](https://doi.org/10.1007/s11263-009-0275-4),
          there interpolated
    """

    def __init__(
        self,
        num_classes: int,
        name: str = "mean_ap",
        dtype: DType = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = check_int("num_classes", num_classes, 2)
        self._direction = "up"
        self.positives = self._counts("positives")
        self.negatives = self._counts("negatives")

    def _counts(self, name):
        return self.add_variable(
            shape=(self.num_classes, _BINS),
            initializer="zeros",
            dtype="float32",
            name=name,
        )

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        labels, kind = hard_targets(y_true, y_pred)
        z = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        if kind != "dense" or z.shape[-1] != self.num_classes:
            raise ValueError(
                f"`y_true` must have a column for each of {self.num_classes} "
                "classes. Received: y_true.shape="
                f"{tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}"
            )
        wrong = check_share_values(labels)
        known = ops.equal(z, z)
        z = ops.where(known, z, 0.0)
        bins = ops.floor(ops.arcsinh(z) * (_BINS / _RANGE)) + _BINS // 2
        bins = ops.cast(ops.clip(bins, 0, _BINS - 1), "int32")
        bins = bins + _BINS * ops.arange(self.num_classes, dtype="int32")
        p = ops.where(known, ops.cast(labels, "float32"), float("nan"))
        p = nan_where([wrong], p)
        weight = ops.ones_like(p)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = ops.broadcast_to(ops.reshape(weight, (-1, 1)), p.shape)
        for counts, values in (
            (self.positives, weight * p),
            (self.negatives, weight * (1 - p)),
        ):
            sums = ops.segment_sum(
                ops.reshape(values, (-1,)),
                ops.reshape(bins, (-1,)),
                self.num_classes * _BINS,
            )
            counts.assign_add(ops.reshape(sums, counts.shape))

    def per_class(self) -> Tensor:
        """Return the average precision of each class, (K,); NaN of none."""
        # From the highest bin down.
        hits = ops.flip(self.positives, axis=-1)
        others = ops.flip(self.negatives, axis=-1)
        found, wrong = ops.cumsum(hits, axis=-1), ops.cumsum(others, axis=-1)
        precision = ops.divide_no_nan(found, found + wrong)
        total = ops.sum(hits, axis=-1)
        value = ops.divide_no_nan(ops.sum(hits * precision, axis=-1), total)
        return ops.where(total == 0, float("nan"), value)

    def result(self) -> Tensor:
        # Not of classes without a positive; NaN of what is NaN.
        known = ops.sum(self.positives, axis=-1) != 0
        values = ops.where(known, self.per_class(), 0.0)
        count = ops.sum(ops.cast(known, "float32"))
        return ops.divide_no_nan(ops.sum(values), count)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "num_classes": self.num_classes,
        }
