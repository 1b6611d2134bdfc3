import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.losses._teacher_loss import TeacherLoss, add_terms
from keras_tricks.losses.binary_crossentropy import (
    CLASS_REDUCTIONS,
    check_options,
    label_smoothed_binary_crossentropy,
)
from keras_tricks.losses.class_weights import ClassBalance
from keras_tricks.losses.distillation import (
    check_logit_pair,
    check_soft_term,
    soft_term,
)
from keras_tricks.losses.label_smoothed_kd import pack_targets


@keras.saving.register_keras_serializable("keras_tricks")
def binary_distillation_loss(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float = 20.0,
    form: str = "crossentropy",
    class_reduction: str = "mean",
) -> Tensor:
    """Compute what a student misses of its teacher in each class by itself.

    Formula, for teacher logits r, student logits z and K classes:
    `T² / K Σ_i -q_i log σ(z_i / T) - (1 - q_i) log(1 - σ(z_i / T))` with
    `q = σ(r / T)`, or the sum without 1 / K. It is the distillation of K
    softmaxes over yes and no. No gradient reaches the teacher; `form="kl"`
    leaves out T² times the entropy of q, which nobody can train away.
    Computed in float32.

    Args:
        teacher_logits: r, of shape (..., K).
        student_logits: z, of shape (..., K).
        temperature: T > 0. Defaults to 20.
        form: `"crossentropy"`, or `"kl"`, which is 0 where the student agrees
            with the teacher.
        class_reduction: `"mean"` over the classes, or their `"sum"`.

    Returns:
        A float32 tensor of shape (...).

    Raises:
        ValueError: If the shapes differ, T is not positive, or a name is
            unknown; for a softmax in place of logits.

    Example:
    >>> r = np.zeros((1, 2), "float32")
    >>> round(float(binary_distillation_loss(r, r, temperature=2.0)[0]), 4)
    2.7726
    >>> float(binary_distillation_loss(r, r, temperature=2.0, form="kl")[0])
    0.0

    Reference:
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531), there of a
          softmax
        - [Yang et al., 2023](https://arxiv.org/abs/2308.06453),
          which takes a task of several labels as K binary ones
    """
    check_soft_term(temperature, form)
    _checks.check_choice("class_reduction", class_reduction, CLASS_REDUCTIONS)
    r = ops.convert_to_tensor(teacher_logits)
    z = ops.convert_to_tensor(student_logits)
    found = check_logit_pair(r, z)
    loss = binary_soft_term(r, z, temperature, form, class_reduction)
    return _targets.nan_where(found, loss)


def binary_soft_term(teacher, student, temperature, form, class_reduction):
    """Compute `binary_distillation_loss` of what has been checked."""

    def yes_and_no(x):
        x = ops.cast(x, "float32")
        return ops.stack([x, ops.zeros_like(x)], axis=-1)

    pair = yes_and_no(teacher), yes_and_no(student)
    terms = soft_term(*pair, temperature, form)
    reduce = ops.mean if class_reduction == "mean" else ops.sum
    return reduce(terms, axis=-1)


@keras.saving.register_keras_serializable("keras_tricks")
class LabelSmoothedBinaryKD(TeacherLoss):
    """Labels of several classes and a teacher's logits of them, in one loss.

    Formula, with labels p, teacher logits r and student logits z: that of
    `label_smoothed_binary_crossentropy` of p and z plus
    `binary_distillation_loss` of r and z; with `hard_weight=w`, w times the
    first and 1 - w times the second.

    Targets are made with `pack_targets(..., activation="sigmoid")`, of shape
    (B, 2K); those without teacher logits give the first term alone. Computed
    in float32 under every dtype policy.

    Args:
        label_smoothing: ε in [0, 1). Defaults to 0.
        temperature: T > 0. Defaults to 20.
        hard_weight: w in [0, 1], or None (default) for the 1 : 1 sum.
        convention: Of the smoothing, see `LabelSmoothedBinaryCrossentropy`.
            Defaults to `"binary"`.
        target_threshold: As there. Defaults to None.
        class_reduction: Of both terms, `"mean"` or `"sum"`.
        form: Of the second term, `"crossentropy"` or `"kl"`.
        reduction: As of every Keras loss. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Kept for Keras' protocol; anything below float32 is float32.

    Call arguments:
        y_true: (B, 2K) packed targets, or labels (B, K) from 0 to 1.
        y_pred: Student logits (B, K).

    Raises:
        ValueError: For an argument outside its range; at the call, for
            shapes that do not fit, and, where values can be read, for labels
            out of range, a softmax in place of logits, and targets that were
            packed for a softmax.

    Example:
    >>> loss = LabelSmoothedBinaryKD(temperature=2.0)
    >>> r = np.array([[3.0, -1.0]], "float32")
    >>> labels = np.array([[1.0, 0.0]], "float32")
    >>> targets = pack_targets(labels, r, activation="sigmoid")
    >>> round(float(loss(targets, r)), 4)
    2.4567

    Reference:
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531), there of a
          softmax
    """

    several = True

    def __init__(
        self,
        label_smoothing: float = 0.0,
        temperature: float = 20.0,
        hard_weight: float | None = None,
        convention: str = "binary",
        target_threshold: float | None = None,
        class_reduction: str = "mean",
        form: str = "crossentropy",
        reduction: str | None = "sum_over_batch_size",
        name: str = "label_smoothed_binary_kd",
        dtype: DType = None,
    ):
        super().__init__(temperature, hard_weight, form, reduction, name, dtype)
        self.label_smoothing, self.target_threshold = check_options(
            label_smoothing, convention, target_threshold, class_reduction
        )
        self.convention = convention
        self.class_reduction = class_reduction
        self.balance = ClassBalance()

    def check(self, y_true: Tensor, y_pred: Tensor) -> list:
        """Refuse targets and logits that do not fit, by their values too."""
        classes = _targets.check_logits("y_pred", y_pred)
        kind = _targets.kind_of_labels(y_true, y_pred, packed=True)
        if kind == "integer":
            raise ValueError(
                "`y_true` must have a column for each class, of which a sample "
                f"may have several. Received: y_true.shape={y_true.shape}"
            )
        self.kinds.add(kind)
        found = [
            _targets.check_share_values(y_true[..., :classes]),
            _targets.check_logit_values("y_pred", y_pred),
        ]
        if kind == "packed":
            found.append(_check_not_shifted(y_true[..., classes:]))
        return found

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        classes = y_pred.shape[-1]
        hard = self._hard(y_true[..., :classes], y_pred)
        if y_true.shape[-1] == classes:
            return hard
        soft = binary_soft_term(
            y_true[..., classes:],
            y_pred,
            self.temperature,
            self.form,
            self.class_reduction,
        )
        return add_terms(hard, soft, self.hard_weight)

    def _hard(self, labels, logits):
        return label_smoothed_binary_crossentropy(
            labels,
            logits,
            self.label_smoothing,
            self.convention,
            self.target_threshold,
            self.class_reduction,
        )

    def pack(
        self, labels: Tensor, teacher_logits: Tensor, sample_weight: Tensor
    ) -> Tensor:
        """Return the target (B, 2K) of labels and teacher logits."""
        return pack_targets(labels, teacher_logits, sample_weight, "sigmoid")

    def terms(
        self,
        labels: Tensor,
        teacher_logits: Tensor,
        logits: Tensor,
        sample_weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return both terms, and the share of classes with the same answer."""
        soft = self.temperature, "kl", self.class_reduction
        same = ops.equal(teacher_logits > 0, logits > 0)
        return (
            self._hard(labels, logits),
            binary_soft_term(teacher_logits, logits, *soft),
            ops.mean(ops.cast(same, "float32"), axis=-1),
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "convention": self.convention,
            "target_threshold": self.target_threshold,
            "class_reduction": self.class_reduction,
        }


def _check_not_shifted(teacher):
    """Refuse logits less their maximum, as a softmax knows no difference."""

    def shifted(values, family):
        top = family.max(family.float32(values))
        return values[..., :5], (top == 0)[..., 0]

    return _targets.refuse(
        teacher,
        shifted,
        '`y_true` must be packed with `pack_targets(activation="sigmoid")`. '
        "Received: teacher logits less their maximum, a row that begins with",
    )
