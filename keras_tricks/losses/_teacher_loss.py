"""A loss of labels and of what a teacher says, packed into one target."""

from keras_tricks._types import Tensor
from keras_tricks.losses import _targets


class TeacherLoss(_targets.LogitsLoss):
    """What `keras_tricks.distillation.Distiller` asks of its loss.

    A subclass has `temperature`, and `several`: whether a sample may be of
    several classes, each with a sigmoid of its own.
    """

    temperature: float
    several = False

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
