import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _checks
from keras_tricks._types import Tensor


def warmup(step: Tensor, peak: Tensor, warmup_steps: int) -> Tensor:
    """Ramp up linearly: step i of m, counted from 1, has `i * peak / m`.

    Args:
        step: Steps already taken, counted from 0: `i - 1`.
        peak: Value of the last warmup step, a float or scalar tensor.
        warmup_steps: Number m of warmup steps.

    Returns:
        A float32 tensor; `peak` at the last warmup step and past it.

    Example:
    >>> [round(float(warmup(step, 0.4, 4)), 2) for step in range(5)]
    [0.1, 0.2, 0.3, 0.4, 0.4]

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677)
    """
    length = max(warmup_steps, 1)
    taken = ops.minimum(ops.convert_to_tensor(step) + 1, length)
    return ops.cast(taken, "float32") / length * peak


@keras.saving.register_keras_serializable("keras_tricks")
class Warmup(LearningRateSchedule):
    """Linear warmup in front of any schedule.

    Formula, with m warmup steps and `step` counted from 0:

    - `step < m`: `(step + 1) / m * schedule(0)`
    - otherwise: `schedule(step - m)`

    The first update is not wasted at a rate of 0, the last warmup step has
    the full rate, and the schedule behind starts at its own step 0: it sees
    only the steps that remain.

    Args:
        schedule_or_peak: Any `keras.optimizers.schedules`
            `LearningRateSchedule`, or a float for a constant rate.
        warmup_steps: Number of warmup steps, at least 0; 0 gives the
            schedule unchanged.

    Raises:
        ValueError: If an argument is of the wrong kind or negative.

    Example:
    >>> from keras_tricks.schedules import CosineDecay
    >>> schedule = Warmup(CosineDecay(0.4, decay_steps=4), warmup_steps=2)
    >>> [round(float(schedule(step)), 4) for step in range(7)]
    [0.2, 0.4, 0.4, 0.3414, 0.2, 0.0586, 0.0]

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677)
    """

    def __init__(
        self,
        schedule_or_peak: float | LearningRateSchedule,
        warmup_steps: int,
    ):
        super().__init__()
        if not isinstance(schedule_or_peak, LearningRateSchedule):
            if callable(schedule_or_peak):
                raise ValueError(
                    "`schedule_or_peak` must be a LearningRateSchedule or a "
                    f"float. Received: schedule_or_peak={schedule_or_peak!r}"
                )
            schedule_or_peak = _checks.check_real(
                "schedule_or_peak", schedule_or_peak, low=0
            )
        self.schedule_or_peak = schedule_or_peak
        self.warmup_steps = _checks.check_int("warmup_steps", warmup_steps)

    def _main(self, step):
        if isinstance(self.schedule_or_peak, LearningRateSchedule):
            return ops.cast(self.schedule_or_peak(step), "float32")
        return ops.convert_to_tensor(self.schedule_or_peak, "float32")

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.convert_to_tensor(step)
        if self.warmup_steps == 0:
            return self._main(step)
        start = ops.zeros_like(step)
        ramp = warmup(step, self._main(start), self.warmup_steps)
        main = self._main(ops.maximum(step - self.warmup_steps, 0))
        return ops.where(step < self.warmup_steps, ramp, main)

    def get_config(self) -> dict:
        inner = self.schedule_or_peak
        if isinstance(inner, LearningRateSchedule):
            inner = keras.saving.serialize_keras_object(inner)
        return {"schedule_or_peak": inner, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(
        cls, config: dict, custom_objects: dict | None = None
    ) -> "Warmup":
        config = dict(config)
        if isinstance(config["schedule_or_peak"], dict):
            config["schedule_or_peak"] = keras.saving.deserialize_keras_object(
                config["schedule_or_peak"], custom_objects=custom_objects
            )
        return cls(**config)
