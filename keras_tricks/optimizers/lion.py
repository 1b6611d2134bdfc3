from typing import Any

import keras

from keras_tricks import _checks
from keras_tricks.optimizers._by_role import ByRole, check_betas, fused

_Base: Any = fused(keras.optimizers.Lion)


@keras.saving.register_keras_serializable("keras_tricks")
class Lion(ByRole, _Base):
    """Lion, steps of the sign of the momentum, with weight decay by role.

    Formula, for a variable w with gradient g, learning rate η and weight
    decay λ (0 where the rule excludes w), which is decoupled:

    - `w = w - η λ w`
    - `w = w - η sign(β₁ m + (1 - β₁) g)`
    - `m = β₂ m + (1 - β₂) g`

    It is core Keras' Lion with `decay` in its config, and with a rate that
    counts updates where gradients are accumulated. A rate 3 to 10 times
    smaller, and a decay as much larger, than those of AdamW are usual.

    Args:
        learning_rate: A float or a `LearningRateSchedule`. Defaults to 1e-4.
        weight_decay: λ, at least 0. Defaults to 0.
        beta_1: β₁, in (0, 1). Defaults to 0.9.
        beta_2: β₂, in [0, 1). Defaults to 0.99.
        decay: Which variables decay, see `keras_tricks.optimizers.SGD`.
        name: Name of the optimizer.
        **kwargs: `adaptive_clipping`, `rate_scales`, and the arguments of
            every Keras optimizer, see `keras_tricks.optimizers.SGD`.

    Raises:
        ValueError: If an argument is outside its range, or, when the
            optimizer is built, if λ > 0 and the rule matches no variable.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Lion(1e-4, weight_decay=0.3), loss="mse")

    Reference:
        - [Chen et al., 2023](https://arxiv.org/abs/2302.06675), algorithm 2
    """

    slots = ("_momentums",)

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 1e-4,
        weight_decay: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        decay: str = "kernels",
        name: str = "lion",
        **kwargs: Any,
    ):
        check_betas(beta_1, beta_2)
        _checks.check_real("beta_1", beta_1, 0, 1, True, True)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            decay=decay,
            beta_1=beta_1,
            beta_2=beta_2,
            name=name,
            **kwargs,
        )
