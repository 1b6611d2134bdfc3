import keras
from keras import ops

from keras_tricks._checks import check_int
from keras_tricks._types import DType, Tensor
from keras_tricks.metrics._label_mean import LabelMean
from keras_tricks.metrics.dominant_label_accuracy import dominant_labels


@keras.saving.register_keras_serializable("keras_tricks")
def top_k_accuracy(y_true: Tensor, y_pred: Tensor, k: int = 5) -> Tensor:
    """Return whether fewer than k classes come before the label.

    Formula: `1 if #{i : z_i > z_y or (z_i = z_y and i < y)} < k else 0`. Of
    equal logits the lower index comes first, as with `argmax`: k = 1 is the
    usual accuracy, and a network whose logits are all the same gets k of K
    classes right. (`keras.ops.in_top_k` counts ties as hits.)

    Args:
        y_true: Labels (B,), (B, 1), (B, K) mixed or smoothed, or packed with
            teacher logits (B, 2K); of dense ones y is the dominant label.
        y_pred: Logits or probabilities (B, K).
        k: Integer of at least 1. Defaults to 5.

    Returns:
        A float32 tensor of shape (B,); 0 where a label is no class.

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast.

    Example:
    >>> z = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    >>> hits = top_k_accuracy(np.array([1, 2]), z, k=2)
    >>> [float(hit) for hit in hits]
    [1.0, 0.0]
    """
    check_int("k", k, 1)
    y_pred = ops.convert_to_tensor(y_pred)
    labels = ops.expand_dims(dominant_labels(y_true, y_pred), -1)
    indices = ops.arange(y_pred.shape[-1], dtype="int32")
    inside = ops.any(ops.equal(indices, labels), axis=-1)
    labels = ops.where(ops.expand_dims(inside, -1), labels, 0)
    own = ops.take_along_axis(y_pred, labels, axis=-1)
    before = ops.logical_or(
        y_pred > own, ops.logical_and(ops.equal(y_pred, own), indices < labels)
    )
    count = ops.sum(ops.cast(before, "int32"), axis=-1)
    # A logit that is not a number is before and behind none.
    finite = ops.all(ops.equal(y_pred, y_pred), axis=-1)
    hits = ops.logical_and(count < k, ops.logical_and(finite, inside))
    return ops.cast(hits, "float32")


@keras.saving.register_keras_serializable("keras_tricks")
class TopKAccuracy(LabelMean):
    """Share of samples whose label is among the k largest logits.

    See `top_k_accuracy`, also for ties and for mixed labels.

    Args:
        k: Integer of at least 1. Defaults to 5.
        name: Name of the metric. Defaults to `"top_<k>_accuracy"`.
        dtype: As of every Keras metric.
        ignore_label: Integer labels of this value count nowhere. Defaults to
            None: there is none.

    Call arguments:
        y_true: Labels (B,), (B, 1), (B, K) or packed targets (B, 2K).
        y_pred: Logits or probabilities (B, K).

    Example:
    >>> metric = TopKAccuracy(k=2)
    >>> metric.update_state(np.array([1, 2]), np.array([[3.0, 2, 1]] * 2))
    >>> metric.name, float(metric.result())
    ('top_2_accuracy', 0.5)
    """

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: DType = None,
        ignore_label: int | None = None,
    ):
        self.k = check_int("k", k, 1)
        name = name or f"top_{k}_accuracy"
        super().__init__(top_k_accuracy, name, dtype, ignore_label, k=k)
        self._direction = "up"

    def get_config(self) -> dict:
        return {**super().get_config(), "k": self.k}
