import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets

FORMS = ("crossentropy", "kl")


@keras.saving.register_keras_serializable("keras_tricks")
def distillation_loss(
    teacher_logits: Tensor,
    student_logits: Tensor,
    temperature: float = 20.0,
    form: str = "crossentropy",
) -> Tensor:
    """Compute the softened cross-entropy of teacher and student, in float32.

    Formula: `T² CE(softmax(r / T), softmax(z / T))`, for teacher logits r
    and student logits z. No gradient reaches the teacher. The value includes
    T² times the entropy of the softened teacher; only its excess over that,
    `T² KL(softmax(r / T) ‖ softmax(z / T))`, can be trained away, and
    `form="kl"` gives it alone. The gradients of both forms are the same.

    Args:
        teacher_logits: r, of shape (..., K).
        student_logits: z, of shape (..., K).
        temperature: T > 0. Defaults to 20.
        form: `"crossentropy"` as in the paper, or `"kl"`, which is 0 where
            the student agrees with the teacher.

    Returns:
        A float32 tensor of shape (...), NaN for values that are refused
        where nothing can be raised, as in some compiled steps.

    Raises:
        ValueError: If the shapes differ, T is not positive or the form is
            unknown; for probabilities in place of logits.

    Example:
    >>> r = np.zeros((1, 2), "float32")
    >>> round(float(distillation_loss(r, r, temperature=2.0)[0]), 4)
    2.7726
    >>> float(distillation_loss(r, r, temperature=2.0, form="kl")[0])
    0.0

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.3
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531)
    """
    check_soft_term(temperature, form)
    r = ops.convert_to_tensor(teacher_logits)
    z = ops.convert_to_tensor(student_logits)
    found = check_logit_pair(r, z)
    return _targets.nan_where(found, soft_term(r, z, temperature, form))


def soft_term(teacher_logits, student_logits, temperature, form):
    """Compute `distillation_loss` of what has been checked."""
    r = _targets.shifted(ops.stop_gradient(teacher_logits)) / temperature
    z = _targets.shifted(student_logits) / temperature
    teacher = ops.softmax(r, axis=-1)
    if form == "kl":
        return temperature**2 * _divergence(teacher, r, z)
    crossentropy = ops.logsumexp(z, axis=-1) - ops.sum(teacher * z, axis=-1)
    return temperature**2 * crossentropy


def _divergence(p, r, z):
    """Compute KL(softmax(r) ‖ softmax(z)), with p = softmax(r).

    With d = z - r less its mean under p, it is the logarithm of the mean of
    exp(d). Where all d are small, as at a high temperature, that is 1 plus
    something tiny, of which float32 would lose most digits.
    """
    d = z - r
    d = d - ops.sum(p * d, axis=-1, keepdims=True)
    near = ops.amax(ops.abs(d), axis=-1) < 1.0
    small = ops.where(ops.expand_dims(near, -1), d, 0.0)
    precise = ops.log1p(ops.sum(p * ops.expm1(small), axis=-1))
    general = ops.logsumexp(ops.log_softmax(r, axis=-1) + d, axis=-1)
    return ops.where(near, precise, general)


def check_soft_term(temperature, form="crossentropy"):
    """Return the temperature, checked together with the form."""
    _checks.check_choice("form", form, FORMS)
    return _checks.check_real("temperature", temperature, 0, open_low=True)


def check_pair(teacher, student):
    """Raise ValueError unless both are logits of one shape."""
    _targets.check_logits("student_logits", student)
    if not _targets.compatible(tuple(teacher.shape), tuple(student.shape)):
        raise ValueError(
            "`teacher_logits` must have the shape of the student's logits, "
            f"{tuple(student.shape)}. "
            f"Received: teacher_logits.shape={tuple(teacher.shape)}"
        )


def check_logit_pair(teacher, student):
    """Refuse what are no logits of one shape, by their values too."""
    check_pair(teacher, student)
    return [
        _targets.check_logit_values("teacher_logits", teacher),
        _targets.check_logit_values("student_logits", student),
    ]


@keras.saving.register_keras_serializable("keras_tricks")
class KnowledgeDistillation(_targets.LogitsLoss):
    """The soft term of knowledge distillation: teacher logits as targets.

    Formula: `T² CE(softmax(r / T), softmax(z / T))`, with the teacher's
    logits r as `y_true` and the student's logits z as `y_pred`. Computed in
    float32 under every dtype policy. For the sum with the labels' term see
    `keras_tricks.losses.LabelSmoothedKD`.

    Args:
        temperature: T > 0. Defaults to 20.
        form: `"crossentropy"`, or `"kl"` for its excess over the teacher's
            entropy, see `keras_tricks.losses.distillation_loss`.
        reduction: As of every Keras loss. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Kept for Keras' protocol; anything below float32 is float32.

    Call arguments:
        y_true: Teacher logits (..., K).
        y_pred: Student logits (..., K).

    Raises:
        ValueError: If T is not positive or the shapes differ, and, where
            values can be read, if either holds probabilities.

    Example:
    >>> loss = KnowledgeDistillation(temperature=2.0)
    >>> r = np.array([[1.0, -1.0]], "float32")
    >>> round(float(loss(r, r)), 4)
    2.3288

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.3
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531)
    """

    def __init__(
        self,
        temperature: float = 20.0,
        form: str = "crossentropy",
        reduction: str | None = "sum_over_batch_size",
        name: str = "knowledge_distillation",
        dtype: DType = None,
    ):
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.temperature = check_soft_term(temperature, form)
        self.form = form

    def check(self, y_true: Tensor, y_pred: Tensor) -> list:
        """Refuse targets and logits that do not fit, by their values too."""
        return check_logit_pair(y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return soft_term(y_true, y_pred, self.temperature, self.form)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "form": self.form,
        }
