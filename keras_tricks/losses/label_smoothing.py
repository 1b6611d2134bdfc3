from collections.abc import Sequence

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.losses.class_weights import ClassBalance

CONVENTIONS = ("paper", "uniform")
_EQUAL = ClassBalance()


def smoothing_weights(
    label_smoothing: float, num_classes: int, convention: str = "paper"
) -> tuple[float, float]:
    """Return the numbers (a, b) with which smoothing is `q = a * p + b`.

    Args:
        label_smoothing: ε in [0, 1).
        num_classes: K, at least 2.
        convention: `"paper"` or `"uniform"`, see `smooth_labels`.

    Returns:
        The slope a and the offset b, Python floats.

    Example:
    >>> smoothing_weights(0.1, num_classes=5, convention="uniform")
    (0.9, 0.02)
    """
    if convention == "uniform":
        return 1.0 - label_smoothing, label_smoothing / num_classes
    share = label_smoothing / (num_classes - 1)
    return 1.0 - label_smoothing - share, share


def smooth_labels(
    labels: Tensor,
    label_smoothing: float = 0.1,
    num_classes: int | None = None,
    convention: str = "paper",
) -> Tensor:
    """Smooth integer or dense labels.

    Formula, for a one-hot p of class y among K classes:

    - `"paper"`: `q_y = 1 - ε` and `q_i = ε / (K - 1)` for the others
    - `"uniform"`: `q = (1 - ε) p + ε / K` (core Keras, PyTorch)

    Both are affine in p, so smoothing and mixing labels commute. The two
    agree for `ε_uniform = ε_paper * K / (K - 1)`.

    Args:
        labels: Integers of shape (...) with `num_classes`, or class weights
            of shape (..., K) without. Rows of weights sum to 1.
        label_smoothing: ε in [0, 1). Defaults to 0.1.
        num_classes: K for integer labels. Defaults to None: dense labels.
        convention: `"paper"` or `"uniform"`. Defaults to `"paper"`.

    Returns:
        A float32 tensor of shape (..., K) whose rows sum to 1.

    Raises:
        ValueError: If an argument is outside its range, and, where values can
            be read, labels are; else the result is NaN.

    Example:
    >>> q = smooth_labels(np.array([2]), 0.1, num_classes=3)
    >>> [round(float(value), 3) for value in q[0]]
    [0.05, 0.05, 0.9]

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.2
        - [Szegedy et al., 2015](https://arxiv.org/abs/1512.00567)
    """
    _check_smoothing(label_smoothing, convention)
    labels = ops.convert_to_tensor(labels)
    if num_classes is not None:
        num_classes = _checks.check_int("num_classes", num_classes, minimum=2)
        wrong = _targets.check_label_values(labels, num_classes, "integer")
        p = ops.one_hot(ops.cast(labels, "int32"), num_classes, dtype="float32")
    else:
        num_classes = _targets.check_logits("labels", labels)
        wrong = _targets.check_label_values(labels, num_classes, "dense")
        p = ops.cast(labels, "float32")
    a, b = smoothing_weights(label_smoothing, num_classes, convention)
    return _targets.nan_where([wrong], a * p + b)


@keras.saving.register_keras_serializable("keras_tricks")
def label_smoothed_crossentropy(
    labels: Tensor,
    logits: Tensor,
    label_smoothing: float = 0.1,
    convention: str = "paper",
    class_weights: Sequence[float] | None = None,
    logit_adjustment: float = 0.0,
    class_priors: Sequence[float] | None = None,
) -> Tensor:
    """Compute the cross-entropy of smoothed labels and logits, in float32.

    Formula: `-Σ_i q_i log softmax(z)_i` with `q = smooth_labels(labels)`.
    For integer labels y no one-hot is made: with `q = a p + b`, it is
    `logsumexp(z) - a z_y - b Σ_i z_i`.

    With weights w of the classes it is multiplied by `Σ_i p_i w_i` of the
    labels p before smoothing: a mixed label has the mix of the weights. With
    τ and priors π, `z + τ log π` takes the place of z.

    Args:
        labels: Integers of shape (...) or (..., 1), or class weights of
            shape (..., K).
        logits: Tensor of shape (..., K), any float dtype.
        label_smoothing: ε in [0, 1). Defaults to 0.1.
        convention: `"paper"` or `"uniform"`, see `smooth_labels`.
        class_weights: w, K numbers of at least 0, not all 0, see
            `balanced_weights` and `effective_number_weights`. Defaults to
            None: all are 1.
        logit_adjustment: τ of at least 0; 1 is that of the paper. Defaults
            to 0: the logits are as they are.
        class_priors: π, the shares of the K classes among the training
            samples; for τ above 0.

    Returns:
        A float32 tensor of shape (...), NaN for values that are refused
        where nothing can be raised, as in some compiled steps.

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast. For labels
            out of range and probabilities in place of logits.

    Example:
    >>> z = np.zeros((1, 4), "float32")
    >>> round(float(label_smoothed_crossentropy(np.array([1]), z)[0]), 4)
    1.3863

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.2
        - [Szegedy et al., 2015](https://arxiv.org/abs/1512.00567)
        - Logit adjustment: [Menon et al.,
          2020](https://arxiv.org/abs/2007.07314), equation 10
    """
    balance = ClassBalance(class_weights, logit_adjustment, class_priors)
    labels = ops.convert_to_tensor(labels)
    logits = ops.convert_to_tensor(logits)
    kind, wrong = _targets.check_targets("logits", labels, logits)
    balance.check(logits.shape[-1])
    found = [wrong, _targets.check_logit_values("logits", logits)]
    loss = hard_term(labels, logits, kind, label_smoothing, convention, balance)
    return _targets.nan_where(found, loss)


def hard_term(
    labels, logits, kind, label_smoothing, convention, balance=_EQUAL
):
    """Compute `label_smoothed_crossentropy` of labels of a known kind."""
    classes = logits.shape[-1]
    a, b = smoothing_weights(label_smoothing, classes, convention)
    z = _targets.shifted(balance.adjust(logits))
    normalizer = ops.logsumexp(z, axis=-1)
    if kind == "dense":
        q = a * ops.cast(labels, "float32") + b
        loss = normalizer * ops.sum(q, axis=-1) - ops.sum(q * z, axis=-1)
        return balance.weigh(loss, labels, dense=True)
    if len(labels.shape) == len(logits.shape):
        labels = ops.squeeze(labels, axis=-1)
    index = ops.cast(labels, "int32")
    inside = ops.logical_and(index >= 0, index < classes)
    index = ops.where(inside, index, 0)
    picked = ops.take_along_axis(z, ops.expand_dims(index, -1), axis=-1)
    loss = normalizer - a * ops.squeeze(picked, axis=-1)
    if b:
        loss = loss - b * ops.sum(z, axis=-1)
    loss = balance.weigh(loss, index, dense=False)
    return ops.where(inside, loss, float("nan"))


def _check_smoothing(label_smoothing, convention):
    value = _checks.check_real(
        "label_smoothing", label_smoothing, 0, 1, open_high=True
    )
    _checks.check_choice("convention", convention, CONVENTIONS)
    return value


@keras.saving.register_keras_serializable("keras_tricks")
class LabelSmoothedCrossentropy(_targets.LogitsLoss):
    """Cross-entropy with label smoothing for integer and dense labels.

    Formula: `-Σ_i q_i log softmax(z)_i` with q the labels smoothed as in
    `keras_tricks.losses.smooth_labels`. Computed in float32 under every
    dtype policy.

    For classes of unequal size: with weights w of the classes, a sample of
    label p, mixed or not, counts `Σ_i p_i w_i` times; the mean is over the
    batch, not over the weights, so that it is the same in parts of a batch.
    With τ and priors π the loss is that of `z + τ log π`, and the network is
    used without: a validation loss has the same shift, metrics have not.

    Args:
        label_smoothing: ε in [0, 1). Defaults to 0.1.
        convention: `"paper"` gives the other classes `ε / (K - 1)` each;
            `"uniform"` spreads ε over all K, as core Keras does. Defaults
            to `"paper"`.
        from_logits: Whether `y_pred` holds logits, which it should. False
            takes probabilities, clipped at 1e-7. Defaults to True.
        reduction: As of every Keras loss. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Kept for Keras' protocol; anything below float32 is float32.
        class_weights: w, K numbers of at least 0, not all 0, see
            `balanced_weights` and `effective_number_weights`. Defaults to
            None: all are 1. In place of `class_weight` of `fit`, which takes
            a mixed label for its largest part.
        logit_adjustment: τ of at least 0; 1 is that of the paper. Defaults
            to 0: the logits are as they are.
        class_priors: π, the shares of the K classes among the training
            samples; for τ above 0.
        ignore_label: Integer labels of this value, such as -1 or 255, count
            nowhere: neither in the sum nor in the number that the mean
            divides by (of each replica, where the batch is split on
            TensorFlow or PyTorch). Defaults to None: there is none.

    Call arguments:
        y_true: Integers (...) or (..., 1), or class weights (..., K).
        y_pred: Logits (..., K).

    Raises:
        ValueError: For an argument outside its range; at the call, for
            shapes that do not fit, and, where values can be read, for
            labels out of range and probabilities in place of logits, or
            the other way round with `from_logits=False`. In compiled steps
            a label out of range gives a NaN loss.

    Example:
    >>> loss = LabelSmoothedCrossentropy(label_smoothing=0.1)
    >>> z = np.array([[2.0, 0.0, 0.0]], "float32")
    >>> round(float(loss(np.array([0]), z)), 4)
    0.4395

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.2
        - [Szegedy et al., 2015](https://arxiv.org/abs/1512.00567)
        - Logit adjustment: [Menon et al.,
          2020](https://arxiv.org/abs/2007.07314), equation 10
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        convention: str = "paper",
        from_logits: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "label_smoothed_crossentropy",
        dtype: DType = None,
        class_weights: Sequence[float] | None = None,
        logit_adjustment: float = 0.0,
        class_priors: Sequence[float] | None = None,
        ignore_label: int | None = None,
    ):
        super().__init__(reduction, name, dtype, ignore_label)
        self.balance = ClassBalance(
            class_weights, logit_adjustment, class_priors
        )
        self.label_smoothing = _check_smoothing(label_smoothing, convention)
        self.convention = convention
        self.from_logits = bool(from_logits)

    def check(self, y_true: Tensor, y_pred: Tensor) -> list:
        """Refuse targets and logits that do not fit, by their values too."""
        kind, wrong = _targets.check_targets("y_pred", y_true, y_pred)
        self.balance.check(y_pred.shape[-1])
        self.kinds.add(kind)
        if not self.from_logits:
            found = _targets.check_probability_values("y_pred", y_pred)
            return [wrong, found]
        return [wrong, _targets.check_logit_values("y_pred", y_pred)]

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if not self.from_logits:
            y_pred = ops.log(ops.clip(y_pred, 1e-7, 1.0))
        kind = _targets.kind_of_labels(y_true, y_pred)
        return hard_term(
            y_true,
            y_pred,
            kind,
            self.label_smoothing,
            self.convention,
            self.balance,
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "convention": self.convention,
            "from_logits": self.from_logits,
            **self.balance.get_config(),
            "ignore_label": self.ignore_label,
        }
