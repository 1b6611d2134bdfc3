import math

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor


def cosine_decay(
    step: Tensor, peak: float, decay_steps: int, end: float = 0.0
) -> Tensor:
    """Decay along half a cosine from `peak` at step 0 to `end` at the last.

    Formula, with `t = min(step, decay_steps)`:
    `end + (peak - end) * (1 + cos(pi * t / decay_steps)) / 2`.

    Args:
        step: Steps already taken, an integer or integer tensor of any shape.
        peak: Value at step 0.
        decay_steps: Length of the decay in steps.
        end: Value at `decay_steps` and ever after. Defaults to 0.

    Returns:
        A float32 tensor of the shape of `step`.

    Example:
    >>> round(float(cosine_decay(5, peak=0.5, decay_steps=10)), 6)
    0.25

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.1
        - [Loshchilov and Hutter, 2016](https://arxiv.org/abs/1608.03983)
    """
    # Clamped while still an integer: exact for any step count.
    step = ops.minimum(ops.convert_to_tensor(step), decay_steps)
    progress = ops.cast(step, "float32") / decay_steps
    return end + (peak - end) * 0.5 * (1.0 + ops.cos(math.pi * progress))


@keras.saving.register_keras_serializable("keras_tricks")
class CosineDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Cosine learning-rate decay, per step, constant past its end.

    Formula, with `t = min(step, decay_steps)`:
    `end + (peak - end) * (1 + cos(pi * t / decay_steps)) / 2`.

    It starts at `peak`; put `keras_tricks.schedules.Warmup` around it for a
    warmup, and count only the steps after the warmup in `decay_steps`.

    Args:
        peak: Learning rate at step 0, a float above `end`.
        decay_steps: Number of steps of the decay, at least 1.
        end: Learning rate at `decay_steps` and past it. Defaults to 0.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
    >>> schedule = CosineDecay(0.5, decay_steps=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 11)]
    [0.5, 0.25, 0.0, 0.0]

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.1
        - [Loshchilov and Hutter, 2016](https://arxiv.org/abs/1608.03983)
    """

    def __init__(self, peak: float, decay_steps: int, end: float = 0.0):
        super().__init__()
        self.end = _checks.check_real("end", end, low=0)
        self.peak = _checks.check_real("peak", peak, low=self.end)
        self.decay_steps = _checks.check_int("decay_steps", decay_steps, 1)

    def __call__(self, step: Tensor) -> Tensor:
        return cosine_decay(step, self.peak, self.decay_steps, self.end)

    def get_config(self) -> dict:
        return {
            "peak": self.peak,
            "decay_steps": self.decay_steps,
            "end": self.end,
        }
