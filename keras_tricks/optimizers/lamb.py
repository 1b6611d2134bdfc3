from typing import Any

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor
from keras_tricks.optimizers._by_role import ByRole, check_betas

TRUST_RATIOS = ("all", "decayed")


@keras.saving.register_keras_serializable("keras_tricks")
class Lamb(ByRole, keras.optimizers.Lamb):
    """LAMB, Adam whose steps have the size of the weights, with decay by role.

    Formula, for update t = 1, 2, ... of a variable w with gradient g,
    learning rate η and weight decay λ (0 where the rule excludes w):

    - `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`
    - `u = m / (1 - β₁ᵗ) / (sqrt(v / (1 - β₂ᵗ)) + ε) + λ w`
    - `w = w - η ‖w‖ / ‖u‖ u`, where the ratio is 1 if a norm is 0

    Core Keras' Lamb takes the decay out of u, `w = w - η λ w` before the
    update, where the ratio does not see it: at the same number it is weaker
    by about ‖u‖ / ‖w‖.

    Args:
        learning_rate: A float or a `LearningRateSchedule`. Defaults to 1e-3.
        weight_decay: λ, at least 0, inside of the ratio. Defaults to 0.
        beta_1: β₁, in [0, 1). Defaults to 0.9.
        beta_2: β₂, in [0, 1). Defaults to 0.999.
        epsilon: ε. Defaults to 1e-6.
        decay: Which variables decay, see `keras_tricks.optimizers.SGD`.
        trust_ratio: Which variables have the ratio: `"all"`, the paper's
            algorithm, or `"decayed"` for those that `decay` covers, as timm
            and the authors' code for BERT do. Defaults to `"all"`.
        name: Name of the optimizer.
        **kwargs: `adaptive_clipping`, `rate_scales`, and the arguments of
            every Keras optimizer, see `keras_tricks.optimizers.SGD`. timm's
            LAMB has `global_clipnorm=1.0`.

    Raises:
        ValueError: If an argument is outside its range, or, when the
            optimizer is built, if λ > 0 and the rule matches no variable.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Lamb(5e-3, weight_decay=0.02), loss="mse")

    Reference:
        - [You et al., 2019](https://arxiv.org/abs/1904.00962), algorithm 2
    """

    slots = ("_momentums", "_velocities")

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        decay: str = "kernels",
        trust_ratio: str = "all",
        name: str = "lamb",
        **kwargs: Any,
    ):
        check_betas(beta_1, beta_2)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            decay=decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )
        self.trust_ratio = _checks.check_choice(
            "trust_ratio", trust_ratio, TRUST_RATIOS
        )

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        lr = ops.cast(self._scaled(learning_rate, index), dtype)
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        m, v = self._momentums[index], self._velocities[index]
        new_m = m + (gradient - m) * (1 - self.beta_1)
        new_v = v + (ops.square(gradient) - v) * (1 - self.beta_2)
        corrected = new_m / (1 - ops.power(ops.cast(self.beta_1, dtype), step))
        spread = new_v / (1 - ops.power(ops.cast(self.beta_2, dtype), step))
        update = corrected / (ops.sqrt(spread) + self.epsilon)
        if self._decays[index] and self.weight_decay:
            update = update + self.weight_decay * variable
        if self._decays[index] or self.trust_ratio == "all":
            weights = ops.sqrt(ops.sum(ops.square(variable)))
            size = ops.sqrt(ops.sum(ops.square(update)))
            both = ops.logical_and(weights > 0, size > 0)
            update = update * ops.where(
                both, weights / ops.where(both, size, 1.0), 1.0
            )
        self.assign(m, new_m)
        self.assign(v, new_v)
        self.assign_sub(variable, lr * update)

    def get_config(self) -> dict:
        return {**super().get_config(), "trust_ratio": self.trust_ratio}
