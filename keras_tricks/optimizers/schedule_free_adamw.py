from typing import Any

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor
from keras_tricks.optimizers._by_role import ByRole, check_betas


@keras.saving.register_keras_serializable("keras_tricks")
class ScheduleFreeAdamW(ByRole, keras.optimizers.Optimizer):
    """AdamW that averages its weights in place of a schedule, decay by role.

    Formula, for update t = 1, 2, ... at the weights y of the model, with
    gradient g, learning rate η, which may have a warmup, and weight decay λ
    (0 where the rule excludes y); z and x begin as y:

    - `v = β₂ v + (1 - β₂) g²`
    - `z = z - η g / (sqrt(v / (1 - β₂ᵗ)) + ε) - η λ y`
    - `x = (1 - c) x + c z`, where c is η² over the sum of all η² so far
    - `y = (1 - β₁) z + β₁ x`

    x is the average that the method is about; while it trains the model
    holds y, which is near it. `callbacks.ScheduleFreeAverage` puts x into the
    model to be scored and saved; `averaged_values` gives x.

    Core Keras' ScheduleFreeAdamW, of 3.14 and later, decays y alone, which
    the average forgets again, and weighs the steps of a warmup like all
    others.

    Args:
        learning_rate: A float or a `LearningRateSchedule`. Defaults to 2.5e-3.
        weight_decay: λ, at least 0. Defaults to 0.
        beta_1: β₁, in (0, 1). Defaults to 0.9.
        beta_2: β₂, in [0, 1). Defaults to 0.999.
        epsilon: ε. Defaults to 1e-8.
        decay: Which variables decay, see `keras_tricks.optimizers.SGD`.
        name: Name of the optimizer.
        **kwargs: `adaptive_clipping`, `rate_scales`, and the arguments of
            every Keras optimizer, see `keras_tricks.optimizers.SGD`.

    Raises:
        ValueError: If an argument is outside its range, or, when the
            optimizer is built, if λ > 0 and the rule matches no variable.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(ScheduleFreeAdamW(2.5e-3, weight_decay=0.05), "mse")

    Reference:
        - [Defazio et al., 2024](https://arxiv.org/abs/2405.15682), algorithm 1
    """

    slots = ("_fast", "_velocities")

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 2.5e-3,
        weight_decay: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        decay: str = "kernels",
        name: str = "schedule_free_adamw",
        **kwargs: Any,
    ):
        check_betas(beta_1, beta_2)
        _checks.check_real("beta_1", beta_1, 0, 1, True, True)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            decay=decay,
            name=name,
            **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list) -> None:
        if self.built:
            return
        # Not by `assign`, which would be a part of TensorFlow's first graph
        # of a step and so of every step.
        self._fast = [
            self.add_variable_from_reference(
                variable, "fast", initializer=_value_of(variable)
            )
            for variable in variables
        ]
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._weight_sums = [
            self.add_variable(
                (), name=f"{variable.path.replace('/', '_')}_weight_sum"
            )
            for variable in variables
        ]
        super().build(variables)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        lr = ops.cast(self._scaled(learning_rate, index), dtype)
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        fast, velocity = self._fast[index], self._velocities[index]
        weight_sum = self._weight_sums[index]
        new_velocity = velocity + (ops.square(gradient) - velocity) * (
            1 - self.beta_2
        )
        spread = new_velocity / (
            1 - ops.power(ops.cast(self.beta_2, dtype), step)
        )
        update = gradient / (ops.sqrt(spread) + self.epsilon)
        if self._decays[index] and self.weight_decay:
            update = update + self.weight_decay * variable
        average = (variable - (1 - self.beta_1) * fast) / self.beta_1
        new_fast = fast - lr * update
        new_sum = weight_sum + ops.square(lr)
        # While all rates were 0 there is nothing to average.
        share = ops.square(lr) / ops.where(new_sum > 0, new_sum, 1.0)
        average = average + share * (new_fast - average)
        self.assign(velocity, new_velocity)
        self.assign(fast, new_fast)
        self.assign(weight_sum, new_sum)
        self.assign(
            variable, (1 - self.beta_1) * new_fast + self.beta_1 * average
        )

    def averaged_variables(self) -> list:
        """Return the trained variables, which hold y, and then those of z.

        Where all of them are set to x, training can begin anew from it.
        """
        return [*self._trainable_variables, *self._fast]

    def averaged_values(self) -> list:
        """Return x, the averaged weights, for each trainable variable."""
        return [
            (variable - (1 - self.beta_1) * fast) / self.beta_1
            for variable, fast in zip(
                self._trainable_variables, self._fast, strict=True
            )
        ]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def _value_of(variable):
    """Return an initializer that copies a variable."""
    return lambda shape, dtype=None: ops.copy(ops.convert_to_tensor(variable))
