"""How near a student is to its teacher, from packed targets."""

import keras
from keras import ops

from keras_tricks import _backend
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.losses.distillation import (
    check_pair,
    check_soft_term,
    soft_term,
)


@keras.saving.register_keras_serializable("keras_tricks")
def teacher_agreement(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """Return whether teacher and student give the same class the top logit.

    Formula: `1 if argmax(r) == argmax(z) else 0`.

    Args:
        teacher_logits: r, of shape (B, K).
        student_logits: z, of shape (B, K).

    Returns:
        A float32 tensor of shape (B,).

    Raises:
        ValueError: If the shapes differ.

    Example:
    >>> r, z = np.array([[2.0, 1.0]]), np.array([[5.0, -5.0]])
    >>> float(teacher_agreement(r, z)[0])
    1.0
    """
    r = ops.convert_to_tensor(teacher_logits)
    z = ops.convert_to_tensor(student_logits)
    check_pair(r, z)
    same = ops.equal(ops.argmax(r, axis=-1), ops.argmax(z, axis=-1))
    return ops.cast(same, "float32")


class _PackedMetric(keras.metrics.Mean):
    """A mean over the samples of packed targets; no result without one.

    Keras adds what a metric returns as a dictionary to the logs, here nothing.
    Within a compiled step nobody knows the count, but the shape of its labels.
    """

    _has_seen = False

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        y_true = ops.convert_to_tensor(y_true)
        y_pred = ops.convert_to_tensor(y_pred)
        classes = _targets.check_logits("y_pred", y_pred)
        kind = _targets.kind_of_labels(y_true, y_pred, packed=True)
        self._has_seen = kind == "packed"
        if self._has_seen:
            values = self._values(y_true[..., classes:], y_pred)
            super().update_state(values, sample_weight)

    def result(self) -> Tensor:
        some = _backend.concrete(self.count > 0)
        if self._has_seen if some is None else some:
            return super().result()
        return {}


@keras.saving.register_keras_serializable("keras_tricks")
class TeacherAgreement(_PackedMetric):
    """Share of samples whose top class is that of the teacher.

    For plain `fit` on packed targets; `keras_tricks.distillation.Distiller`
    logs it by itself. Labels without teacher logits do not count, and where
    there were no others, as in `evaluate` on plain labels, the logs do not
    have it: `result` is an empty dictionary.

    Args:
        name: Name of the metric.
        dtype: As of every Keras metric.

    Call arguments:
        y_true: Packed targets (B, 2K).
        y_pred: Logits (B, K).

    Example:
    >>> metric = TeacherAgreement()
    >>> z = np.array([[2.0, 1.0], [2.0, 1.0]])
    >>> targets = np.array([[0, 1, 3.0, 1.0], [0, 1, 1.0, 3.0]])
    >>> metric.update_state(targets, z)
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "teacher_agreement", dtype: DType = None):
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"

    def _values(self, teacher, student):
        return teacher_agreement(teacher, student)

    def get_config(self) -> dict:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("keras_tricks")
class TeacherKL(_PackedMetric):
    """What a student has still to learn from its teacher.

    Formula: `T² KL(softmax(r / T) ‖ softmax(z / T))`, the soft term of the
    loss without the teacher's entropy, which no student can reduce. It is
    left out as `TeacherAgreement` is.

    Args:
        temperature: T > 0, that of the loss. Defaults to 20.
        name: Name of the metric.
        dtype: As of every Keras metric.

    Call arguments:
        y_true: Packed targets (B, 2K).
        y_pred: Logits (B, K).

    Example:
    >>> metric = TeacherKL(temperature=1.0)
    >>> metric.update_state(np.array([[0, 1, 3.0, 1.0]]), np.array([[2, 0.0]]))
    >>> float(metric.result())
    0.0
    """

    def __init__(
        self, temperature: float = 20.0, name: str = "kl", dtype: DType = None
    ):
        super().__init__(name=name, dtype=dtype)
        self.temperature = check_soft_term(temperature)
        self._direction = "down"

    def _values(self, teacher, student):
        return soft_term(teacher, student, self.temperature, "kl")

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "temperature": self.temperature,
        }
