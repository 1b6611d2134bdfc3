from collections.abc import Sequence

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.losses.class_weights import ClassBalance
from keras_tricks.losses.label_smoothing import smoothing_weights

CONVENTIONS = ("paper", "uniform", "binary")
CLASS_REDUCTIONS = ("mean", "sum")


@keras.saving.register_keras_serializable("keras_tricks")
def label_smoothed_binary_crossentropy(
    labels: Tensor,
    logits: Tensor,
    label_smoothing: float = 0.0,
    convention: str = "paper",
    target_threshold: float | None = None,
    class_reduction: str = "mean",
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """Compute the cross-entropy of a sigmoid for each class, in float32.

    Formula, for K classes: `1 / K Σ_i -t_i log σ(z_i) - (1 - t_i) log
    (1 - σ(z_i))`, or the sum without 1 / K. The targets are `t = a p + b` of
    the labels p with the smoothing ε:

    - `"paper"`: `a = 1 - ε - ε / (K - 1)`, `b = ε / (K - 1)`
    - `"uniform"`: `a = 1 - ε`, `b = ε / K` (timm)
    - `"binary"`: `a = 1 - ε`, `b = ε / 2` (core Keras), each class by itself

    With a threshold, `t = 1` where that is above it and 0 elsewhere, as in
    timm: mixed images then have several labels in full, and nothing is left
    of the smoothing. With weights w of the classes it is multiplied by
    `Σ_i p_i w_i`.

    Args:
        labels: Integers of shape (...) or (..., 1), or shares p of shape
            (..., K), each from 0 to 1: one-hot, mixed, or of several classes
            at once.
        logits: z, of shape (..., K), any float dtype.
        label_smoothing: ε in [0, 1). Defaults to 0.
        convention: `"paper"`, `"uniform"` or `"binary"`.
        target_threshold: In [0, 1), or None (default) for none.
        class_reduction: `"mean"` over the classes as in the paper, or their
            `"sum"`, K times as much.
        class_weights: w, K numbers of at least 0, not all 0. The rows of p
            must then sum to 1. Defaults to None: all are 1.

    Returns:
        A float32 tensor of shape (...), NaN for values that are refused
        where nothing can be raised, as in some compiled steps.

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast. For labels
            out of range and for a softmax in place of logits.

    Example:
    >>> z = np.zeros((1, 4), "float32")
    >>> loss = label_smoothed_binary_crossentropy(np.array([1]), z)
    >>> round(float(loss[0]), 4)
    0.6931

    Reference:
        - [Wightman et al., 2021](https://arxiv.org/abs/2110.00476), section
          3.2
    """
    check_options(
        label_smoothing, convention, target_threshold, class_reduction
    )
    balance = ClassBalance(class_weights)
    labels = ops.convert_to_tensor(labels)
    logits = ops.convert_to_tensor(logits)
    kind, found = _check_values("logits", labels, logits, balance)
    loss = _binary_term(
        labels,
        logits,
        kind,
        label_smoothing,
        convention,
        target_threshold,
        class_reduction,
        balance,
    )
    return _targets.nan_where(found, loss)


def check_options(
    label_smoothing, convention, target_threshold, class_reduction
):
    """Return smoothing and threshold, checked together with the rest."""
    _checks.check_choice("convention", convention, CONVENTIONS)
    _checks.check_choice("class_reduction", class_reduction, CLASS_REDUCTIONS)
    if target_threshold is not None:
        target_threshold = _checks.check_real(
            "target_threshold", target_threshold, 0, 1, open_high=True
        )
    smoothing = _checks.check_real(
        "label_smoothing", label_smoothing, 0, 1, open_high=True
    )
    return smoothing, target_threshold


def _check_values(name, labels, logits, balance):
    """Return the kind of labels, and what checks of values have found."""
    classes = _targets.check_logits(name, logits)
    kind = _targets.kind_of_labels(labels, logits)
    balance.check(classes)
    if kind == "integer" or balance.class_weights is not None:
        wrong = _targets.check_label_values(labels, classes, kind)
    else:
        wrong = _targets.check_share_values(labels)
    return kind, [wrong, _targets.check_logit_values(name, logits)]


def _binary_term(
    labels,
    logits,
    kind,
    label_smoothing,
    convention,
    target_threshold,
    class_reduction,
    balance,
):
    classes = logits.shape[-1]
    if kind == "integer":
        if len(labels.shape) == len(logits.shape):
            labels = ops.squeeze(labels, axis=-1)
        index = ops.cast(labels, "int32")
        labels = ops.one_hot(index, classes, dtype="float32")
    shares = ops.cast(labels, "float32")
    if convention == "binary":
        a, b = 1.0 - label_smoothing, label_smoothing / 2
    else:
        a, b = smoothing_weights(label_smoothing, classes, convention)
    targets = a * shares + b
    if target_threshold is not None:
        targets = ops.cast(targets > target_threshold, "float32")
    z = ops.cast(logits, "float32")
    # Neither of the two loses digits far from 0, nor the gradient at 0.
    loss = targets * ops.softplus(-z) + (1.0 - targets) * ops.softplus(z)
    reduce = ops.mean if class_reduction == "mean" else ops.sum
    return balance.weigh(reduce(loss, axis=-1), shares, dense=True)


@keras.saving.register_keras_serializable("keras_tricks")
class LabelSmoothedBinaryCrossentropy(_targets.LogitsLoss):
    """Cross-entropy of a sigmoid for each class, from logits.

    Formula: see `keras_tricks.losses.label_smoothed_binary_crossentropy`.
    Computed in float32 under every dtype policy. A class does not take from
    another: an image may be of several, and mixed ones may count as both.

    Args:
        label_smoothing: ε in [0, 1). Defaults to 0.
        convention: `"paper"` gives the other classes `ε / (K - 1)` each;
            `"uniform"` spreads ε over all K, as timm does; `"binary"` moves
            each class by itself to 1/2, as core Keras does. Defaults to
            `"paper"`.
        target_threshold: In [0, 1): smoothed and mixed targets above it
            become 1, the others 0, as timm does. Defaults to None: they stay.
        class_reduction: `"mean"` over the classes as in the paper, or their
            `"sum"`, K times as much and of the scale of a softmax.
        class_weights: w, K numbers of at least 0, not all 0: a sample of
            label p counts `Σ_i p_i w_i` times. Rows of dense labels must then
            sum to 1. Defaults to None: all are 1.
        ignore_label: Integer labels of this value count nowhere, as in
            `LabelSmoothedCrossentropy`. Defaults to None: there is none.
        reduction: As of every Keras loss. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Kept for Keras' protocol; anything below float32 is float32.

    Call arguments:
        y_true: Integers (...) or (..., 1), or shares (..., K) from 0 to 1.
        y_pred: Logits (..., K).

    Raises:
        ValueError: For an argument outside its range; at the call, for
            shapes that do not fit, and, where values can be read, for
            labels out of range and a softmax in place of logits. (The values
            of a sigmoid could be logits.) In compiled steps a label out of
            range gives a NaN loss.

    Example:
    >>> loss = LabelSmoothedBinaryCrossentropy(target_threshold=0.2)
    >>> z = np.array([[2.0, 0.0, -2.0]], "float32")
    >>> mixed = np.array([[0.7, 0.3, 0.0]], "float32")
    >>> round(float(loss(mixed, z)), 4)
    0.3157

    Reference:
        - [Wightman et al., 2021](https://arxiv.org/abs/2110.00476), section
          3.2
        - [Beyer et al., 2020](https://arxiv.org/abs/2006.07159)
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        convention: str = "paper",
        target_threshold: float | None = None,
        class_reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        ignore_label: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "label_smoothed_binary_crossentropy",
        dtype: DType = None,
    ):
        super().__init__(reduction, name, dtype, ignore_label)
        self.label_smoothing, self.target_threshold = check_options(
            label_smoothing, convention, target_threshold, class_reduction
        )
        self.convention = convention
        self.class_reduction = class_reduction
        self.balance = ClassBalance(class_weights)

    def check(self, y_true: Tensor, y_pred: Tensor) -> list:
        """Refuse targets and logits that do not fit, by their values too."""
        kind, found = _check_values("y_pred", y_true, y_pred, self.balance)
        self.kinds.add(kind)
        return found

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _binary_term(
            y_true,
            y_pred,
            _targets.kind_of_labels(y_true, y_pred),
            self.label_smoothing,
            self.convention,
            self.target_threshold,
            self.class_reduction,
            self.balance,
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "convention": self.convention,
            "target_threshold": self.target_threshold,
            "class_reduction": self.class_reduction,
            "class_weights": self.balance.class_weights,
            "ignore_label": self.ignore_label,
        }
