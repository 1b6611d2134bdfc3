from typing import Any

import keras
from keras import ops

from keras_tricks import _backend, _checks
from keras_tricks._types import Tensor
from keras_tricks.optimizers import _torch_sgd
from keras_tricks.optimizers._by_role import ByRole

MOMENTUM_FORMS = ("pytorch", "keras")


@keras.saving.register_keras_serializable("keras_tricks")
class SGD(ByRole, keras.optimizers.SGD):
    """SGD with momentum and coupled weight decay, chosen by role.

    Formula, for a variable w with gradient g, learning rate η, momentum μ
    and weight decay λ (0 where the rule excludes w):

    - `g = g + λ w`
    - `momentum_form="pytorch"` (the paper's): `m = μ m + g`, then
      `w = w - η (g + μ m)` with Nesterov and `w = w - η m` without
    - `momentum_form="keras"`: `m = μ m - η g`, then
      `w = w + μ m - η g` with Nesterov and `w = w + m` without

    The two forms agree while η is constant and differ when it changes. Core
    Keras' SGD decays outside the momentum, which is about `1 / (1 - μ)`
    times weaker at the same number: see
    `keras_tricks.optimizers.convert_weight_decay`.

    The learning rate may be any schedule. With gradient accumulation it
    counts real updates, and so do the decay and the moving average. The
    rule for the decay is part of the config: it survives save and load.

    Args:
        learning_rate: A float or a `LearningRateSchedule`.
        momentum: μ, in [0, 1). Defaults to 0.9.
        nesterov: Whether to use Nesterov momentum. Defaults to True.
        weight_decay: λ, at least 0. Defaults to 1e-4.
        decay: Which variables decay: `"kernels"` (rank 2 and above, but
            nothing that its layer calls bias, gamma, beta, scale, alpha or
            embeddings), `"kernels_and_embeddings"`, `"all"`, or a regular
            expression searched in `variable.path`. Defaults to `"kernels"`.
        momentum_form: `"pytorch"` (learning rate outside the momentum
            buffer, the paper's form) or `"keras"` (inside).
        name: Name of the optimizer.
        **kwargs: `adaptive_clipping`, an `AdaptiveGradientClipping`;
            `rate_scales`, a dict from paths of variables, or ends of paths
            such as `"logits/kernel"`, to factors of η, above 0, see
            `keras_tricks.surgery.layer_rate_scales`; and the arguments of
            every Keras optimizer: `clipnorm`, `global_clipnorm`,
            `clipvalue`, `use_ema`, `ema_momentum`,
            `ema_overwrite_frequency`, `gradient_accumulation_steps`,
            `loss_scale_factor`.

    Raises:
        ValueError: If an argument is outside its range, or, when the
            optimizer is built, if λ > 0 and the rule matches no variable.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(SGD(0.1, weight_decay=1e-4), loss="mse")

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 2.2 and
          3.1
    """

    slots = ("momentums",)

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule = 0.1,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 1e-4,
        decay: str = "kernels",
        momentum_form: str = "pytorch",
        name: str = "sgd",
        **kwargs: Any,
    ):
        _checks.check_real("momentum", momentum, 0, 1, open_high=True)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            decay=decay,
            momentum=float(momentum),
            nesterov=nesterov,
            name=name,
            **kwargs,
        )
        self.momentum_form = _checks.check_choice(
            "momentum_form", momentum_form, MOMENTUM_FORMS
        )

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        lr = ops.cast(self._scaled(learning_rate, index), dtype)
        gradient = ops.cast(gradient, dtype)
        if self._decays[index] and self.weight_decay:
            gradient = gradient + self.weight_decay * variable
        step = lr * gradient
        if not self.momentum:
            self.assign_sub(variable, step)
            return
        buffer = self.momentums[index]
        inside = self.momentum_form == "keras"
        # One sign for both forms: the buffer holds what is subtracted, so
        # the "keras" form stores the negative of core Keras' own buffer.
        moment = self.momentum * buffer + (step if inside else gradient)
        # Not `lr * (a + b)`, which XLA on a CPU computes many times slower.
        rate = self.momentum if inside else self.momentum * lr
        change = step + rate * (moment if self.nesterov else buffer)
        self.assign(buffer, moment)
        self.assign_sub(variable, change)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not _torch_sgd.updates_lists():
            super()._backend_update_step(
                grads, trainable_variables, learning_rate
            )
            return
        indices = [self._get_variable_index(v) for v in trainable_variables]
        # On a GPU the rate stays a tensor: to read it would wait for all.
        rate = ops.convert_to_tensor(learning_rate)
        value = _backend.concrete(rate)
        rate = rate if value is None else float(value)
        for scaled, chosen in self._alike(trainable_variables, rate):
            some = [indices[i] for i in chosen]
            _torch_sgd.list_sgd(
                [grads[i] for i in chosen],
                [trainable_variables[i] for i in chosen],
                [self.momentums[i] for i in some] if self.momentum else None,
                [self._decays[i] for i in some],
                learning_rate=scaled,
                momentum=self.momentum,
                nesterov=self.nesterov,
                weight_decay=self.weight_decay,
                inside=self.momentum_form == "keras",
            )

    def get_config(self) -> dict:
        return {**super().get_config(), "momentum_form": self.momentum_form}
