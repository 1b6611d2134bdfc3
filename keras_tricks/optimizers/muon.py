from typing import Any

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks.optimizers._by_role import ByRole, check_betas
from keras_tricks.optimizers._roles import (
    as_matrix,
    check_matches,
    check_pattern,
    decays,
    in_head,
)


@keras.saving.register_keras_serializable("keras_tricks")
class Muon(ByRole, keras.optimizers.Muon):
    """Muon, orthogonal steps of kernels as matrices, with decay by role.

    Formula, for a kernel w as a matrix of n rows, `h * w * inputs` of a
    convolution, and m columns, its outputs, with gradient g, learning rate η
    and weight decay λ (0 where the rule excludes w), which is decoupled:

    - `w = w - η λ w`
    - `b = μ b + g`, then `u = g + μ b` with Nesterov and `u = b` without
    - `w = w - η 0.2 sqrt(max(n, m)) orthogonal(u)`, where `orthogonal` is
      five steps of `x = a x + (b x xᵀ + c (x xᵀ)²) x` from `u / ‖u‖`

    All else has steps of AdamW with the same rate and decay: what the rule of
    the decay `"kernels"` would exclude (biases, norms, embeddings), kernels
    that are a single row or column (depthwise convolutions), and the head.
    `keras_tricks.optimizers.decay_report` lists them.

    Core Keras' Muon takes dense kernels alone for matrices: of a
    convolutional network it would give every convolution to Adam and the head
    to Muon, the opposite of what is meant.

    Args:
        learning_rate: A float or a `LearningRateSchedule`. Defaults to 1e-3;
            rates of AdamW fit.
        weight_decay: λ, at least 0, of both parts. Defaults to 0.004.
        adam_beta_1: β₁ of the Adam part, in [0, 1). Defaults to 0.9.
        adam_beta_2: β₂ of the Adam part, in [0, 1). Defaults to 0.999.
        epsilon: ε of the Adam part. Defaults to 1e-7.
        momentum: μ of the matrices, in [0, 1). Defaults to 0.95.
        decay: Which variables decay, see `keras_tricks.optimizers.SGD`.
        adam: What is left to Adam besides: `"last"` (default) for the layer
            of the last kernel, a regular expression searched in
            `variable.path`, or None.
        name: Name of the optimizer.
        **kwargs: `nesterov`, `ns_steps`, `muon_a`, `muon_b`, `muon_c`,
            `rms_rate` and `adam_lr_ratio` of core Keras' Muon,
            `adaptive_clipping`, `rate_scales`, and the arguments of every
            Keras optimizer, see `keras_tricks.optimizers.SGD`.

    Raises:
        ValueError: If an argument is outside its range, or, when the
            optimizer is built, if λ > 0 and the rule matches no variable,
            or if the pattern `adam` matches none.

    Example:
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3),
    ...     keras.layers.Flatten(), keras.layers.Dense(1),
    ... ])
    >>> optimizer = Muon(1e-3, weight_decay=0.05)
    >>> left = optimizer.left_to_adam(model.trainable_variables)
    >>> left  # A kernel and a bias, twice.
    [False, True, True, True]

    Reference:
        - [Jordan et al., 2024](https://kellerjordan.github.io/posts/muon/)
        - [Liu et al., 2025](https://arxiv.org/abs/2502.16982), the factor of
          0.2 sqrt(max(n, m))
    """

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.004,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        epsilon: float = 1e-7,
        momentum: float = 0.95,
        decay: str = "kernels",
        adam: str | None = "last",
        name: str = "muon",
        **kwargs: Any,
    ):
        check_betas(adam_beta_1, adam_beta_2)
        _checks.check_real("momentum", momentum, 0, 1, open_high=True)
        if adam is not None:
            check_pattern("adam", adam, '"last", None')
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            decay=decay,
            adam_weight_decay=weight_decay,
            adam_beta_1=adam_beta_1,
            adam_beta_2=adam_beta_2,
            epsilon=epsilon,
            momentum=momentum,
            name=name,
            **kwargs,
        )
        self.adam = adam

    def left_to_adam(self, variables: list) -> list[bool]:
        """Tell which of a model's trainable variables Adam updates.

        Args:
            variables: The trainable variables of a model, in its order.

        Returns:
            A bool for each variable.
        """
        head = in_head(variables, self.adam)
        return [
            last
            or not decays(variable, "kernels")
            or 1 in as_matrix(variable.shape)
            for variable, last in zip(variables, head, strict=True)
        ]

    def build(self, variables: list) -> None:
        if not self.built:
            check_matches("adam", self.adam, variables)
            left = self.left_to_adam(variables)
            pairs = zip(variables, left, strict=True)
            self._left = {self._var_key(v) for v, adam in pairs if adam}
        super().build(variables)

    def _should_use_adamw(self, variable):
        return self._var_key(variable) in self._left

    def _muon_update_step(self, gradient, variable, lr, m):
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        moment = self.momentum * m + gradient
        self.assign(m, moment)
        if self.nesterov:
            moment = gradient + self.momentum * moment
        matrix = ops.reshape(moment, as_matrix(variable.shape))
        update = self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        update = ops.reshape(self.lr_adjust(update), variable.shape)
        self.assign_sub(variable, ops.cast(lr, dtype) * update)

    def get_config(self) -> dict:
        config = super().get_config()
        # Of these the other arguments decide.
        for name in (
            "adam_weight_decay",
            "exclude_layers",
            "exclude_embeddings",
        ):
            config.pop(name)
        return {**config, "adam": self.adam}
