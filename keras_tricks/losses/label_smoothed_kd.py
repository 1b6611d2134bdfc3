from collections.abc import Sequence

import keras
from keras import ops

from keras_tricks import _backend, _checks
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.losses._teacher_loss import TeacherLoss, add_terms
from keras_tricks.losses.class_weights import ClassBalance
from keras_tricks.losses.distillation import (
    check_soft_term,
    soft_term,
)
from keras_tricks.losses.label_smoothing import (
    _check_smoothing,
    hard_term,
)


def pack_targets(
    labels: Tensor,
    teacher_logits: Tensor,
    sample_weight: Tensor = None,
    activation: str = "softmax",
) -> Tensor:
    """Put labels and teacher logits into one target for `LabelSmoothedKD`.

    Formula, for class weights p and teacher logits r: `[p, r - max(r)]`.
    A softmax knows no difference, and as no logit is above 0, the largest of
    all 2K values is that of the label: Keras finds it there, for its
    `"accuracy"` and for `class_weight` of `fit`.

    Args:
        labels: Integers of shape (...) or (..., 1), or class weights
            (..., K).
        teacher_logits: r, of shape (..., K), any float dtype. NumPy arrays,
            tensors of the backend, or TensorFlow tensors inside tf.data.
        sample_weight: Weights of the samples, if integer labels of weight 0
            may be no classes, such as -1. Defaults to None.
        activation: `"softmax"`; or `"sigmoid"` for `LabelSmoothedBinaryKD`:
            labels are then shares (..., K) of 0 to 1, of any sum, and the
            logits stay as they are, since a sigmoid knows their level.

    Returns:
        float32 of shape (..., 2K): the class weights (one-hot for integer
        labels), then the teacher's logits. NumPy in, NumPy out.

    Raises:
        ValueError: If the shapes do not fit, and, where values can be read,
            for labels out of range or probabilities in place of logits.

    Example:
    >>> pack_targets(np.array([1]), np.array([[0.5, -0.5]])).tolist()
    [[0.0, 1.0, 0.0, -1.0]]

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.3
    """
    _checks.check_choice("activation", activation, ("softmax", "sigmoid"))
    for name, x in (("labels", labels), ("teacher_logits", teacher_logits)):
        if not hasattr(x, "shape"):
            raise ValueError(
                f"`{name}` must be an array or a tensor. "
                f"Received: {type(x).__name__}"
            )
    labels = _targets.without_ignored(labels, teacher_logits, sample_weight)
    several = activation == "sigmoid"
    if several:
        _targets.check_logits("teacher_logits", teacher_logits)
        kind = _targets.kind_of_labels(labels, teacher_logits)
        _targets.check_share_values(labels)
    else:
        kind, _ = _targets.check_targets(
            "teacher_logits", labels, teacher_logits
        )
    wrong = _targets.check_logit_values("teacher_logits", teacher_logits)
    array = _backend.array_ops(teacher_logits)
    if kind == "integer":
        if len(labels.shape) == len(teacher_logits.shape):
            labels = labels[..., 0]
        labels = array.one_hot(labels, teacher_logits.shape[-1])
    logits = array.float32(teacher_logits)
    if not several:
        logits = logits - array.max(logits)
    if wrong is not None:
        # What is packed no longer looks like the probabilities it was.
        logits = array.where(wrong, float("nan"), logits)
    return array.concatenate([array.float32(labels), logits])


@keras.saving.register_keras_serializable("keras_tricks")
def label_smoothed_kd(
    targets: Tensor,
    logits: Tensor,
    label_smoothing: float = 0.1,
    temperature: float = 20.0,
    hard_weight: float | None = None,
    convention: str = "paper",
    form: str = "crossentropy",
) -> Tensor:
    """Return the paper's whole loss: smoothed labels plus distillation.

    Formula, with class weights p, teacher logits r and student logits z:
    `CE(smooth(p), softmax(z)) + T² CE(softmax(r / T), softmax(z / T))`, or
    with `hard_weight=w`: `w` times the first plus `1 - w` times the second.
    Labels that mixup has mixed are smoothed as they are: smoothing is
    affine, so `smooth(mix(p)) = mix(smooth(p))`.

    Args:
        targets: (B, 2K) from `pack_targets`, or labels alone: integers
            (B,) or (B, 1), or class weights (B, K). Labels alone give the
            first term alone, unweighted.
        logits: z, of shape (B, K), any float dtype.
        label_smoothing: ε in [0, 1). Defaults to 0.1.
        temperature: T > 0. Defaults to 20.
        hard_weight: w in [0, 1], or None for the paper's 1 : 1 sum.
        convention: Of the smoothing, `"paper"` or `"uniform"`.
        form: Of the second term, `"crossentropy"` or `"kl"`.

    Returns:
        A float32 tensor of shape (B,), NaN for values that are refused where
        nothing can be raised, as in some compiled steps.

    Raises:
        ValueError: If the shapes do not fit; nothing is broadcast. For labels
            out of range and probabilities in place of logits.

    Example:
    >>> z = np.zeros((1, 2), "float32")
    >>> packed = pack_targets(np.array([1]), z)
    >>> value = label_smoothed_kd(packed, z, temperature=1.0)
    >>> round(float(value[0]), 4)
    1.3863

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 5.2 and
          5.3
    """
    targets = ops.convert_to_tensor(targets)
    logits = ops.convert_to_tensor(logits)
    kind, found = _check_targets("logits", targets, logits)
    if kind == "packed":
        check_soft_term(temperature, form)
    loss = _both_terms(
        targets,
        logits,
        kind,
        label_smoothing,
        temperature,
        hard_weight,
        convention,
        form,
        ClassBalance(),
    )
    return _targets.nan_where(found, loss)


def _check_targets(name, targets, logits):
    """Return the kind of targets, and what checks of values have found."""
    kind, wrong = _targets.check_targets(name, targets, logits, packed=True)
    found = [wrong, _targets.check_logit_values(name, logits)]
    if kind == "packed":
        r = targets[..., logits.shape[-1] :]
        found.append(_targets.check_logit_values("teacher_logits", r))
    return kind, found


def _both_terms(
    targets,
    logits,
    kind,
    label_smoothing,
    temperature,
    hard_weight,
    convention,
    form,
    balance,
):
    smoothing = label_smoothing, convention, balance
    if kind != "packed":
        return hard_term(targets, logits, kind, *smoothing)
    classes = logits.shape[-1]
    labels, teacher_logits = targets[..., :classes], targets[..., classes:]
    hard = hard_term(labels, logits, "dense", *smoothing)
    soft = soft_term(teacher_logits, logits, temperature, form)
    return add_terms(hard, soft, hard_weight)


@keras.saving.register_keras_serializable("keras_tricks")
class LabelSmoothedKD(TeacherLoss):
    """Label smoothing and knowledge distillation in one loss.

    Formula, with class weights p, teacher logits r and student logits z:
    `CE(smooth(p), softmax(z)) + T² CE(softmax(r / T), softmax(z / T))`.
    Weights and priors of the classes belong to the first term alone, as in
    `LabelSmoothedCrossentropy`: the teacher's knowledge is of all classes.

    Targets are made with `keras_tricks.losses.pack_targets` and have shape
    (B, 2K). Targets without teacher logits give the first term alone, so
    `evaluate` works on plain labels. Computed in float32 under every dtype
    policy.

    Args:
        label_smoothing: ε in [0, 1). Defaults to 0.1.
        temperature: T > 0. Defaults to 20.
        hard_weight: w in [0, 1] for `w * hard + (1 - w) * soft`, or None
            for the paper's 1 : 1 sum. Defaults to None.
        convention: Of the smoothing: `"paper"` or `"uniform"`.
        form: Of the second term: `"crossentropy"` as in the paper, or `"kl"`,
            the same without the teacher's entropy, which is a constant.
        reduction: As of every Keras loss. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Kept for Keras' protocol; anything below float32 is float32.
        class_weights: As of `LabelSmoothedCrossentropy`.
        logit_adjustment: As there.
        class_priors: As there.

    Call arguments:
        y_true: (B, 2K) packed targets, or labels (B,), (B, 1) or (B, K).
        y_pred: Student logits (B, K).

    Raises:
        ValueError: For an argument outside its range; at the call, for
            shapes that do not fit, and, where values can be read, for
            labels out of range and probabilities in place of logits.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", loss=LabelSmoothedKD(0.1, temperature=20.0))
    >>> x, y = np.ones((2, 4)), np.array([0, 1])
    >>> targets = pack_targets(y, np.array([[3.0, -3.0], [-3.0, 3.0]]))
    >>> history = model.fit(x, targets, verbose=0)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 5.2 and
          5.3
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531)
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        temperature: float = 20.0,
        hard_weight: float | None = None,
        convention: str = "paper",
        form: str = "crossentropy",
        reduction: str | None = "sum_over_batch_size",
        name: str = "label_smoothed_kd",
        dtype: DType = None,
        class_weights: Sequence[float] | None = None,
        logit_adjustment: float = 0.0,
        class_priors: Sequence[float] | None = None,
    ):
        super().__init__(temperature, hard_weight, form, reduction, name, dtype)
        self.balance = ClassBalance(
            class_weights, logit_adjustment, class_priors
        )
        self.label_smoothing = _check_smoothing(label_smoothing, convention)
        self.convention = convention

    def check(self, y_true: Tensor, y_pred: Tensor) -> list:
        """Refuse targets and logits that do not fit, by their values too."""
        kind, found = _check_targets("y_pred", y_true, y_pred)
        self.balance.check(y_pred.shape[-1])
        self.kinds.add(kind)
        return found

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _both_terms(
            y_true,
            y_pred,
            _targets.kind_of_labels(y_true, y_pred, packed=True),
            self.label_smoothing,
            self.temperature,
            self.hard_weight,
            self.convention,
            self.form,
            self.balance,
        )

    def pack(
        self, labels: Tensor, teacher_logits: Tensor, sample_weight: Tensor
    ) -> Tensor:
        """Return the target (B, 2K) of labels and teacher logits."""
        return pack_targets(labels, teacher_logits, sample_weight)

    def terms(
        self,
        labels: Tensor,
        teacher_logits: Tensor,
        logits: Tensor,
        sample_weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return both terms, and whether the top class is the teacher's."""
        labels = ops.convert_to_tensor(labels)
        top = ops.argmax(teacher_logits, axis=-1), ops.argmax(logits, axis=-1)
        hard = hard_term(
            _targets.without_ignored(labels, logits, sample_weight),
            logits,
            _targets.kind_of_labels(labels, logits),
            self.label_smoothing,
            self.convention,
        )
        soft = soft_term(teacher_logits, logits, self.temperature, "kl")
        return hard, soft, ops.cast(ops.equal(*top), "float32")

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "convention": self.convention,
            **self.balance.get_config(),
        }
