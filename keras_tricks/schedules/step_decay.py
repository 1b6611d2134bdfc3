from collections.abc import Sequence

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor


def step_decay(
    step: Tensor, peak: float, boundaries: Sequence[int], factor: float = 0.1
) -> Tensor:
    """Multiply `peak` by `factor` once for each boundary reached.

    Formula: `peak * factor ** n`, with `n` the number of boundaries that
    are at most `step`.

    Args:
        step: Steps already taken, an integer or a scalar integer tensor.
        peak: Value before the first boundary.
        boundaries: Increasing integers; the value changes *at* each.
        factor: Factor of each change. Defaults to 0.1.

    Returns:
        A scalar float32 tensor.

    Example:
    >>> round(float(step_decay(3, peak=1.0, boundaries=[3, 6])), 4)
    0.1

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.2
    """
    values = [peak * factor**n for n in range(len(boundaries) + 1)]
    values = ops.convert_to_tensor(values, dtype="float32")
    step = ops.convert_to_tensor(step)
    reached = ops.zeros_like(step)
    for boundary in boundaries:
        reached = reached + ops.cast(step >= boundary, step.dtype)
    return ops.take(values, ops.cast(reached, "int32"))


@keras.saving.register_keras_serializable("keras_tricks")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Step-wise learning-rate decay.

    Formula: `peak * factor ** n`, with `n` the number of boundaries that
    are at most `step`. So step number `boundaries[0]`, counted from 0, is
    the first with the lower rate.

    Args:
        peak: Learning rate before the first boundary.
        boundaries: Strictly increasing positive integers, in steps. May be
            empty: the rate is constant.
        factor: Factor of each change, in (0, 1]. Defaults to 0.1.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
    >>> schedule = StepDecay(0.1, boundaries=[2, 3])
    >>> [round(float(schedule(step)), 4) for step in range(4)]
    [0.1, 0.1, 0.01, 0.001]

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.2
    """

    def __init__(
        self, peak: float, boundaries: Sequence[int], factor: float = 0.1
    ):
        super().__init__()
        self.peak = _checks.check_real("peak", peak, low=0)
        self.boundaries = [
            _checks.check_int("boundaries", boundary, minimum=1)
            for boundary in boundaries
        ]
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(
                "`boundaries` must be strictly increasing. "
                f"Received: boundaries={boundaries!r}"
            )
        self.factor = _checks.check_real(
            "factor", factor, low=0, high=1, open_low=True
        )

    def __call__(self, step: Tensor) -> Tensor:
        return step_decay(step, self.peak, self.boundaries, self.factor)

    def get_config(self) -> dict:
        return {
            "peak": self.peak,
            "boundaries": self.boundaries,
            "factor": self.factor,
        }
