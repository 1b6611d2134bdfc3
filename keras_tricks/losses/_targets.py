"""What may stand beside logits of shape (..., K), and the checks of it."""

import keras
from keras import ops

from keras_tricks import _backend
from keras_tricks._checks import check_int, labels_outside
from keras_tricks._types import DType, Tensor

# Rows looked at for a softmax at the end of a model: enough to find it, too few
# to cost anything.
_ROWS = 8
_SHOWN = 5
_HALF = ("float16", "bfloat16")
_MEANS = ("mean", "sum_over_batch_size")


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


def refuse(x, find, message):
    """Refuse values: at once where they can be read, else in the step.

    Args:
        x: Tensor.
        find: Takes `x`, or its values as an array, and the operations of its
            family; returns the values looked at, and which are wrong.
        message: What they must be, up to the value received.

    Returns:
        A boolean tensor, for the loss to become NaN, or None where the
        values were read.
    """
    if isinstance(x, keras.KerasTensor):
        return None
    read = _backend.concrete(x)
    family = _backend.array_ops(x if read is None else read)
    values, wrong = find(x if read is None else read, family)
    if read is None:
        _backend.fail_if(wrong, message, values)
        return family.any(wrong)
    if wrong.any():
        received = family.first(values, wrong).tolist()
        raise ValueError(f"{message} {received}")
    return None


def check_label_values(labels, classes, kind):
    """Refuse bad label values, see `refuse` for what it returns."""

    def bad_labels(values, family):
        # An unsigned label could not be compared with a larger K.
        return values, labels_outside(family.float32(values), classes)

    def bad_rows(values, family):
        weights = family.float32(values[..., :classes])
        sums = family.sum(weights)
        fits = (sums > 0.99) & (sums < 1.01)  # Nor is NaN a weight.
        wrong = family.any(weights < -1e-3, axis=-1) | ~fits
        row = family.concatenate([sums[..., None], weights[..., :_SHOWN]])
        return row, wrong

    if kind == "integer":
        return refuse(
            labels,
            bad_labels,
            f"`y_true` must hold integer labels from 0 to {classes - 1}. "
            "Received:",
        )
    return refuse(
        labels,
        bad_rows,
        "`y_true` must hold rows of class weights that sum to 1, none below 0. "
        "Received: the sum of a row and its first weights",
    )


def check_share_values(labels):
    """Refuse targets of a sigmoid outside of [0, 1], see `refuse`."""

    def outside(values, family):
        shares = family.float32(values)
        fits = (shares > -1e-3) & (shares < 1.001)  # Nor does NaN.
        return shares[..., :_SHOWN], family.any(~fits, axis=-1)

    return refuse(
        labels,
        outside,
        "`y_true` must hold a share from 0 to 1 for each class. Received: a "
        "row that begins with",
    )


def check_targets(name, labels, logits, packed=False):
    """Validate labels beside logits, as `kind_of_labels` names them.

    Args:
        name: What the logits are called, for the messages.
        labels: Tensor of labels.
        logits: Tensor of shape (..., K).
        packed: Whether labels with teacher logits (..., 2K) are allowed.

    Returns:
        The kind of the labels, and what `check_label_values` returns.
    """
    classes = check_logits(name, logits)
    kind = kind_of_labels(labels, logits, packed)
    return kind, check_label_values(labels, classes, kind)


def check_logit_values(name, logits):
    """Refuse probabilities where logits belong.

    One row of logits may look like probabilities by chance, two never do;
    of half precision four.

    Returns:
        As `refuse`.
    """
    half = keras.backend.standardize_dtype(logits.dtype) in _HALF
    error, least = (1e-2, 4) if half else (1e-5, 2)

    def probabilities(values, family):
        rows = family.reshape(values, (-1, logits.shape[-1]))[:_ROWS]
        rows = family.float32(rows)
        sums = family.sum(rows)
        fits = (abs(sums - 1) < error) & ~family.any(rows < 0, axis=-1)
        # Counted, as TensorFlow makes `>=` of a negated `<`: the NaN of a run
        # that diverges is no probability.
        fits = family.float32(fits)
        wrong = (family.sum(1 - fits) < 0.5) & (family.sum(fits) > least - 0.5)
        return rows[:1, :_SHOWN], wrong[None]

    return refuse(
        logits,
        probabilities,
        f"`{name}` must be logits, without softmax. Received: probabilities, "
        "which are in [0, 1] and sum to 1: a row that begins with",
    )


def check_probability_values(name, probabilities):
    """Refuse logits where probabilities belong: rows that do not sum to 1.

    Returns:
        As `refuse`.
    """

    def no_probabilities(values, family):
        rows = family.reshape(values, (-1, probabilities.shape[-1]))[:_ROWS]
        rows = family.float32(rows)
        # Not for the NaN of a run that diverges.
        far = abs(family.sum(rows) - 1) > 0.05
        return rows[:, :_SHOWN], far | family.any(rows < 0, axis=-1)

    return refuse(
        probabilities,
        no_probabilities,
        f"`{name}` must be probabilities, with softmax, where "
        "from_logits=False. Received: a row that begins with",
    )


def without_ignored(labels, logits, sample_weight):
    """Put 0 for integer labels of weight 0, which may be -1, say.

    Args:
        labels: Labels of any kind, an array of any family.
        logits: Of shape (..., K).
        sample_weight: Weights (...), of fewer axes or (..., 1), or None.
    """
    lead = len(logits.shape) - 1
    if sample_weight is None or isinstance(labels, keras.KerasTensor):
        return labels
    sample_weight = _backend.as_array(sample_weight, like=labels)
    if len(sample_weight.shape) > len(labels.shape) or len(labels.shape) > (
        lead + (labels.shape[-1] == 1)
    ):
        return labels
    for _ in range(len(labels.shape) - len(sample_weight.shape)):
        sample_weight = sample_weight[..., None]
    family = _backend.array_ops(labels)
    zeros = family.zeros_like(labels)
    return family.where(sample_weight == 0, zeros, labels)


def kept_weights(ignore_label, labels, logits, sample_weight):
    """Give integer labels that are to count nowhere the weight 0.

    Args:
        ignore_label: That label.
        labels: Labels of any kind; dense ones are all kept.
        logits: Of shape (..., K).
        sample_weight: Weights (...), of fewer axes or (..., 1), or None.

    Returns:
        `(kept, weights)`, float32 of shape (...): 1 or 0, and that times the
        weights. `(None, sample_weight)` for labels that are not integers.
    """
    if kind_of_labels(labels, logits, packed=True) != "integer":
        return None, sample_weight
    lead = len(logits.shape) - 1
    kept = ops.cast(ops.cast(labels, "float32") != ignore_label, "float32")
    if len(kept.shape) > lead:
        kept = ops.squeeze(kept, axis=-1)
    if sample_weight is None:
        return kept, kept
    weights = ops.cast(sample_weight, "float32")
    if len(weights.shape) > lead:
        weights = ops.squeeze(weights, axis=-1)
    for _ in range(lead - len(weights.shape)):
        weights = ops.expand_dims(weights, -1)
    return kept, kept * weights


def check_ignore_label(ignore_label):
    """Return an integer of any sign, or None."""
    if ignore_label is None:
        return None
    return check_int("ignore_label", ignore_label, -(2**24), 2**24)


def nan_where(found, loss):
    """Make a loss NaN where a check has found what cannot be meant.

    Args:
        found: What `check_label_values` and the like return.
        loss: Tensor.
    """
    for wrong in found:
        if wrong is not None:
            loss = ops.where(wrong, float("nan"), loss)
    return loss


def shifted(logits):
    """Shift logits, in float32, so that their maximum is at 0."""
    logits = ops.cast(logits, "float32")
    top = ops.stop_gradient(ops.amax(logits, axis=-1, keepdims=True))
    return logits - top


class LogitsLoss(keras.losses.Loss):
    """A loss that looks at its inputs before they are cast to float32."""

    def __init__(
        self,
        reduction: str | None,
        name: str,
        dtype: DType,
        ignore_label: int | None = None,
    ):
        self.ignore_label = check_ignore_label(ignore_label)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if self.dtype not in ("float32", "float64"):
            # A float16 label or T² times a float16 loss loses bits.
            self._dtype_policy = keras.DTypePolicy("float32")
            self._dtype = "float32"
        self._called = False
        self.kinds: set[str] = set()  # Of the labels so far.

    def check(self, y_true: Tensor, y_pred: Tensor) -> list:
        """Refuse inputs that cannot be meant.

        Returns:
            Boolean tensors, or None, that tell whether they cannot, where
            that is seen only when a compiled step runs.

        Raises:
            ValueError: Where it is seen at once.
        """
        raise NotImplementedError

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> Tensor:
        y_true = ops.convert_to_tensor(y_true)
        y_pred = ops.convert_to_tensor(y_pred)
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
        if self.ignore_label is not None:
            sample_weight = self._without_label(y_true, y_pred, sample_weight)
        if sample_weight is not None:
            y_true = without_ignored(y_true, y_pred, sample_weight)
        # An accelerator is waited for at the first batch alone.
        read = (lambda x: x) if self._called else _backend.on_host
        logits = read(y_pred)
        found = self.check(read(y_true), logits)
        self._called |= logits is not y_pred
        return nan_where(found, super().__call__(y_true, y_pred, sample_weight))

    def _without_label(self, y_true, y_pred, sample_weight):
        """Return weights of which Keras' mean is that of the other labels."""
        kept, weights = kept_weights(
            self.ignore_label, y_true, y_pred, sample_weight
        )
        if kept is None or self.reduction not in _MEANS:
            return weights
        return ops.divide_no_nan(weights, ops.mean(kept))
