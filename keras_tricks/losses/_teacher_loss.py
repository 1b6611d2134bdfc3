"""A loss of labels and of what a teacher says, packed into one target."""

from keras_tricks import _checks
from keras_tricks._types import DType, Tensor
from keras_tricks.losses import _targets
from keras_tricks.losses.distillation import check_soft_term


def add_terms(hard: Tensor, soft: Tensor, hard_weight: float | None) -> Tensor:
    """Return the sum of both terms, or w and 1 - w times them."""
    if hard_weight is None:
        return hard + soft
    return hard_weight * hard + (1.0 - hard_weight) * soft


class TeacherLoss(_targets.LogitsLoss):
    """What `keras_tricks.distillation.Distiller` asks of its loss.

    A subclass says by `several` whether a sample may be of several classes,
    each with a sigmoid of its own.

    Args:
        temperature: T > 0.
        hard_weight: w in [0, 1], or None, see `add_terms`.
        form: Of the soft term, `"crossentropy"` or `"kl"`.
        reduction: As of every Keras loss.
        name: Name of the loss.
        dtype: As of `LogitsLoss`.
    """

    several = False

    def __init__(
        self,
        temperature: float,
        hard_weight: float | None,
        form: str,
        reduction: str | None,
        name: str,
        dtype: DType,
    ):
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.temperature = check_soft_term(temperature, form)
        if hard_weight is not None:
            hard_weight = _checks.check_real("hard_weight", hard_weight, 0, 1)
        self.hard_weight, self.form = hard_weight, form

    def pack(
        self, labels: Tensor, teacher_logits: Tensor, sample_weight: Tensor
    ) -> Tensor:
        """Return the target (B, 2K) of labels and teacher logits."""
        raise NotImplementedError

    def terms(
        self,
        labels: Tensor,
        teacher_logits: Tensor,
        logits: Tensor,
        sample_weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return hard term, soft term as a divergence, agreement: (B,) each."""
        raise NotImplementedError

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "hard_weight": self.hard_weight,
            "form": self.form,
        }
