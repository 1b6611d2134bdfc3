import math

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor


def exponential_range(
    step: Tensor, low: float, high: float, steps: int
) -> Tensor:
    """Rise from `low` at step 0 to `high` at the last step, by equal factors.

    Formula, with `t = min(step, steps - 1) / (steps - 1)`:
    `low * (high / low) ** t`.

    Args:
        step: Steps already taken, an integer or integer tensor of any shape.
        low: Value at step 0, above 0.
        high: Value at step `steps - 1` and ever after.
        steps: Number of steps, at least 2.

    Returns:
        A float32 tensor of the shape of `step`.

    Example:
    >>> round(float(exponential_range(1, low=0.01, high=1.0, steps=3)), 6)
    0.1

    Reference:
        - [Smith, 2015](https://arxiv.org/abs/1506.01186), section 3.3, whose
          range is linear
    """
    step = ops.minimum(ops.convert_to_tensor(step), steps - 1)
    progress = ops.cast(step, "float32") / (steps - 1)
    return low * ops.exp(math.log(high / low) * progress)


@keras.saving.register_keras_serializable("keras_tricks")
class ExponentialRange(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate of a range test: it rises by equal factors, per step.

    Formula, with `t = min(step, steps - 1) / (steps - 1)`:
    `low * (high / low) ** t`.

    Args:
        low: Learning rate at step 0, above 0.
        high: Learning rate at step `steps - 1` and past it, above `low`.
        steps: Number of steps, at least 2.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
    >>> schedule = ExponentialRange(0.01, 1.0, steps=3)
    >>> [round(float(schedule(step)), 4) for step in (0, 1, 2, 3)]
    [0.01, 0.1, 1.0, 1.0]

    Reference:
        - [Smith, 2015](https://arxiv.org/abs/1506.01186), section 3.3, whose
          range is linear
    """

    def __init__(self, low: float, high: float, steps: int):
        super().__init__()
        self.low = _checks.check_real("low", low, low=0, open_low=True)
        self.high = _checks.check_real(
            "high", high, low=self.low, open_low=True
        )
        self.steps = _checks.check_int("steps", steps, 2)

    def __call__(self, step: Tensor) -> Tensor:
        return exponential_range(step, self.low, self.high, self.steps)

    def get_config(self) -> dict:
        return {"low": self.low, "high": self.high, "steps": self.steps}
