"""What may stand beside logits of shape (..., K), and the checks of it."""

import keras
import numpy as np
from keras import ops

from keras_tricks import _backend
from keras_tricks._checks import labels_outside
from keras_tricks._types import DType, Tensor

# Rows looked at when a tensor of values is checked: enough to find a softmax
# at the end of a model, too few to cost anything.
_ROWS = 8
_HALF = ("float16", "bfloat16")


def check_logits(name, logits):
    """Return K, the size of the last axis of logits of rank >= 2."""
    shape = tuple(logits.shape)
    if len(shape) < 2 or shape[-1] is None or shape[-1] < 2:
        raise ValueError(
            f"`{name}` must have shape (batch, ..., classes) with at least 2 "
            f"classes. Received: {name}.shape={shape}"
        )
    return shape[-1]


def compatible(shape, expected):
    """Say whether two shapes are the same, as far as they are known."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, expected, strict=True)
    )


def kind_of_labels(labels, logits, packed=False):
    """Say what labels are, from their shape beside logits (..., K).

    Args:
        labels: Tensor of labels.
        logits: Tensor of shape (..., K).
        packed: Whether labels with teacher logits (..., 2K) are allowed.

    Returns:
        `"integer"` for (...) or (..., 1), `"dense"` for (..., K),
        `"packed"` for (..., 2K).

    Raises:
        ValueError: For any other shape; nothing is broadcast.
    """
    shape, full = tuple(labels.shape), tuple(logits.shape)
    classes, lead = full[-1], full[:-1]
    if compatible(shape, lead) or compatible(shape, (*lead, 1)):
        return "integer"
    if compatible(shape, full):
        return "dense"
    if packed and compatible(shape, (*lead, 2 * classes)):
        return "packed"
    widths = f"{classes} or {2 * classes}" if packed else f"{classes}"
    raise ValueError(
        f"`y_true` must be integer labels of shape {lead} or have a last "
        f"axis of {widths} beside logits of shape {full}. "
        f"Received: y_true.shape={shape}"
    )


def check_label_values(labels, classes, kind):
    """Refuse bad label values where they can be read without waiting."""
    values = _backend.concrete(labels)
    if values is None or values.size == 0:
        return
    if kind == "integer":
        bad = labels_outside(values, classes)
        if bad.size:
            raise ValueError(
                f"`y_true` must hold integer labels from 0 to {classes - 1}. "
                f"Received: {bad[0]!s}"
            )
        return
    weights = values.reshape(-1, values.shape[-1])[:_ROWS, :classes]
    sums = weights.astype("float64").sum(-1)
    if (weights < -1e-3).any() or (np.abs(sums - 1) > 1e-2).any():
        raise ValueError(
            "`y_true` must hold rows of class weights that sum to 1. "
            f"Received: a row {weights[np.argmax(np.abs(sums - 1))].tolist()}"
        )


def check_targets(name, labels, logits, packed=False):
    """Validate labels beside logits, as `kind_of_labels` names them.

    Args:
        name: What the logits are called, for the messages.
        labels: Tensor of labels.
        logits: Tensor of shape (..., K).
        packed: Whether labels with teacher logits (..., 2K) are allowed.

    Returns:
        The kind of the labels.
    """
    classes = check_logits(name, logits)
    kind = kind_of_labels(labels, logits, packed)
    check_label_values(labels, classes, kind)
    return kind


def check_logit_values(name, logits):
    """Refuse probabilities where logits belong, if the values can be read.

    One row of logits may look like probabilities by chance, two never do.
    """
    values = _backend.concrete(logits)
    if values is None or values.size == 0:
        return
    rows = values.reshape(-1, values.shape[-1])[:_ROWS].astype("float64")
    half = keras.backend.standardize_dtype(logits.dtype) in _HALF
    error = np.abs(rows.sum(-1) - 1).max()
    if len(rows) > 1 and (rows >= 0).all() and error < (1e-2 if half else 1e-5):
        raise ValueError(
            f"`{name}` must be logits, without softmax. Received: rows of "
            "values in [0, 1] that sum to 1, which are probabilities"
        )


def shifted(logits):
    """Shift logits, in float32, so that their maximum is at 0."""
    logits = ops.cast(logits, "float32")
    top = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    return logits - top


class LogitsLoss(keras.losses.Loss):
    """A loss that looks at its inputs before they are cast to float32."""

    def __init__(self, reduction: str | None, name: str, dtype: DType):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if self.dtype not in ("float32", "float64"):
            # A float16 label or T² times a float16 loss loses bits.
            self._dtype_policy = keras.DTypePolicy("float32")
            self._dtype = "float32"
        self._called = False

    def check(self, y_true: Tensor, y_pred: Tensor) -> None:
        """Raise ValueError for inputs that cannot be meant."""
        raise NotImplementedError

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> Tensor:
        y_true = ops.convert_to_tensor(y_true)
        y_pred = ops.convert_to_tensor(y_pred)
        # An accelerator is waited for at the first batch alone.
        read = (lambda x: x) if self._called else _backend.on_host
        logits = read(y_pred)
        self.check(read(y_true), logits)
        self._called |= logits is not y_pred
        return super().__call__(y_true, y_pred, sample_weight)
