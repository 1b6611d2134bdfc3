from typing import Any

import keras

from keras_tricks.optimizers._by_role import ByRole, check_betas, fused

_Base: Any = fused(keras.optimizers.AdamW)


@keras.saving.register_keras_serializable("keras_tricks")
class AdamW(ByRole, _Base):
    """Adam with decoupled weight decay, chosen by role.

    Formula, for update t = 1, 2, ... of a variable w with gradient g,
    learning rate η and weight decay λ (0 where the rule excludes w):

    - `w = w - η λ w`
    - `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`
    - `w = w - η sqrt(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (sqrt(v) + ε)`

    It is core Keras' AdamW with `decay` in its config, and with a rate that
    counts updates where gradients are accumulated.

    Args:
        learning_rate: A float or a `LearningRateSchedule`. Defaults to 1e-3.
        weight_decay: λ, at least 0. Defaults to 0.004.
        beta_1: β₁, in [0, 1). Defaults to 0.9.
        beta_2: β₂, in [0, 1). Defaults to 0.999.
        epsilon: ε, outside of the correction of v. Defaults to 1e-7.
        decay: Which variables decay, see `keras_tricks.optimizers.SGD`.
        name: Name of the optimizer.
        **kwargs: `amsgrad`, `adaptive_clipping`, `rate_scales`, and the
            arguments of every Keras optimizer, see
            `keras_tricks.optimizers.SGD`.

    Raises:
        ValueError: If an argument is outside its range, or, when the
            optimizer is built, if λ > 0 and the rule matches no variable.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(AdamW(1e-3, weight_decay=0.05), loss="mse")

    Reference:
        - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1711.05101)
    """

    slots = ("_momentums", "_velocities")

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        decay: str = "kernels",
        name: str = "adamw",
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
