import keras
from keras import ops

from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.metrics._label_mean import LabelMean


def hard_targets(y_true, y_pred):
    """Return the labels without teacher logits, and what kind they are.

    Args:
        y_true: Labels (B,), (B, 1) or (B, K), or packed targets (B, 2K).
        y_pred: Logits (B, K).

    Returns:
        The labels as a tensor, and `"integer"` or `"dense"`.

    Example:
    >>> z = np.zeros((1, 3), "float32")
    >>> labels, kind = hard_targets(np.array([[0, 1, 0, 9, 9, 9.0]]), z)
    >>> tuple(labels.shape), kind
    ((1, 3), 'dense')
    """
    y_true = ops.convert_to_tensor(y_true)
    y_pred = ops.convert_to_tensor(y_pred)
    classes = _targets.check_logits("y_pred", y_pred)
    kind = _targets.kind_of_labels(y_true, y_pred, packed=True)
    if kind == "packed":
        return y_true[..., :classes], "dense"
    if kind == "integer" and len(y_true.shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, axis=-1)
    return y_true, kind


def dominant_labels(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return the label of the largest weight of each sample.

    Args:
        y_true: Labels (B,), (B, 1) or (B, K), or packed targets (B, 2K).
        y_pred: Logits (B, K).

    Returns:
        An int32 tensor of shape (B,).

    Example:
    >>> z = np.zeros((1, 3), "float32")
    >>> int(dominant_labels(np.array([[0.2, 0.8, 0.0]]), z)[0])
    1
    """
    labels, kind = hard_targets(y_true, y_pred)
    if kind == "dense":
        labels = ops.argmax(labels, axis=-1)
    return ops.cast(labels, "int32")


@keras.saving.register_keras_serializable("keras_tricks")
def dominant_label_accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return whether the top logit is the label of the largest weight.

    Formula: `1 if argmax(z) == argmax(p) else 0`; with integer labels y it
    is `argmax(z) == y`, the usual accuracy.

    Args:
        y_true: Labels (B,), (B, 1), (B, K) mixed or smoothed, or packed with
            teacher logits (B, 2K).
        y_pred: Logits (B, K).

    Returns:
        A float32 tensor of shape (B,).

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast.

    Example:
    >>> z = np.array([[2.0, 1.0], [2.0, 1.0]])
    >>> dominant_label_accuracy(np.array([[0.7, 0.3], [0.3, 0.7]]), z).shape[0]
    2
    """
    labels = dominant_labels(y_true, y_pred)
    hits = ops.equal(ops.argmax(y_pred, axis=-1), labels)
    return ops.cast(hits, "float32")


@keras.saving.register_keras_serializable("keras_tricks")
class DominantLabelAccuracy(LabelMean):
    """Share of samples whose top logit is the label of the largest weight.

    On integer labels it is the usual accuracy. Under mixup it is the
    accuracy against the image that has the larger part in the mixture: it is
    lower than accuracy on plain images and not comparable with it.

    Args:
        name: Name of the metric.
        dtype: As of every Keras metric.
        ignore_label: Integer labels of this value count nowhere. Defaults to
            None: there is none.

    Call arguments:
        y_true: Labels (B,), (B, 1), (B, K) or packed targets (B, 2K).
        y_pred: Logits (B, K).

    Example:
    >>> metric = DominantLabelAccuracy()
    >>> metric.update_state(np.array([0, 1]), np.array([[2.0, 1], [2, 1]]))
    >>> float(metric.result())
    0.5

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.4
    """

    def __init__(
        self,
        name: str = "dominant_label_accuracy",
        dtype: DType = None,
        ignore_label: int | None = None,
    ):
        super().__init__(dominant_label_accuracy, name, dtype, ignore_label)
        self._direction = "up"
