import re
from typing import Any, NoReturn

import keras
from keras import ops

from keras_tricks import _backend, _checks
from keras_tricks._types import Tensor
from keras_tricks.optimizers import _torch_sgd

MOMENTUM_FORMS = ("pytorch", "keras")


# How layers name what is no kernel, whatever its rank: a bias of attention, a
# slope of PReLU and a norm over several axes have rank 2 and above.
_NO_KERNEL = re.compile(r"(^|_)(bias|gamma|beta|scale|alpha)$")
_EMBEDDING = re.compile(r"(^|_)embeddings?$")


def decays(variable: keras.Variable, rule: str) -> bool:
    """Return whether a decay rule covers a variable.

    Args:
        variable: A `keras.Variable`.
        rule: `"kernels"` for what layers do not call bias, gamma, beta, scale,
            alpha or embeddings, of rank 2 and above;
            `"kernels_and_embeddings"`; `"all"`; or a regular expression
            searched in `variable.path`.

    Returns:
        True if weight decay applies to the variable.

    Example:
    >>> kernel = keras.Variable([[1.0]], name="kernel")
    >>> bias = keras.Variable([1.0], name="bias")
    >>> decays(kernel, "kernels"), decays(bias, "kernels")
    (True, False)
    >>> decays(bias, "all"), decays(bias, "kernel$")
    (True, False)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1, "no
          bias decay"
    """
    if rule in ("kernels", "kernels_and_embeddings"):
        if _NO_KERNEL.search(variable.name):
            return False
        if rule == "kernels" and _EMBEDDING.search(variable.name):
            return False
        return len(variable.shape) >= 2
    return rule == "all" or re.search(rule, variable.path) is not None


@keras.saving.register_keras_serializable("keras_tricks")
class SGD(keras.optimizers.SGD):
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
        **kwargs: Arguments of every Keras optimizer: `clipnorm`,
            `global_clipnorm`, `clipvalue`, `use_ema`, `ema_momentum`,
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
        if not callable(learning_rate):
            learning_rate = _checks.check_real(
                "learning_rate", learning_rate, low=0
            )
        _checks.check_real("momentum", momentum, 0, 1, open_high=True)
        weight_decay = _checks.check_real("weight_decay", weight_decay, low=0)
        _check_rule(decay)
        if kwargs.get("ema_overwrite_frequency") and kwargs.get(
            "gradient_accumulation_steps"
        ):
            raise ValueError(
                "`ema_overwrite_frequency` must be None with gradient "
                "accumulation: the weights would change between two parts "
                "of one batch. Received: ema_overwrite_frequency="
                f"{kwargs['ema_overwrite_frequency']}"
            )
        super().__init__(
            learning_rate=learning_rate,
            momentum=float(momentum),
            nesterov=bool(nesterov),
            name=name,
            **kwargs,
        )
        self.weight_decay = weight_decay
        self.decay = decay
        self.momentum_form = _checks.check_choice(
            "momentum_form", momentum_form, MOMENTUM_FORMS
        )

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        if _torch_sgd.updates_lists() and self.momentum:
            _torch_sgd.lay_out_alike(self.momentums, variables)
        self._decays = [decays(v, self.decay) for v in variables]
        if self.weight_decay and not any(self._decays):
            raise ValueError(
                "`decay` must match at least one of the "
                f"{len(variables)} trainable variables, such as "
                f"{variables[0].path!r}; use weight_decay=0 for no decay. "
                f"Received: decay={self.decay!r}"
            )

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        lr = ops.cast(learning_rate, dtype)
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
        _torch_sgd.list_sgd(
            grads,
            trainable_variables,
            [self.momentums[i] for i in indices] if self.momentum else None,
            [self._decays[i] for i in indices],
            learning_rate=rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            inside=self.momentum_form == "keras",
        )

    def exclude_from_weight_decay(
        self, var_list: list | None = None, var_names: list | None = None
    ) -> NoReturn:
        """Refuse core Keras' way, which is not saved: the rule is `decay`."""
        raise ValueError(
            "`exclude_from_weight_decay` must not be called: give "
            "`decay`, a regular expression on the paths of what decays. "
            f"Received: var_list={var_list}, var_names={var_names}"
        )

    def _apply_weight_decay(self, variables):
        """Do nothing: the decay is part of the gradient in `update_step`."""

    def learning_rate_at(self, update: Tensor) -> Tensor:
        """Return the learning rate of an update.

        Args:
            update: Number of the update, counted from 0. With gradient
                accumulation, updates are counted, not batches.

        Returns:
            A scalar tensor, or the learning-rate variable if there is no
            schedule.
        """
        schedule = self._learning_rate
        if isinstance(
            schedule, keras.optimizers.schedules.LearningRateSchedule
        ):
            return schedule(update)
        return super()._get_current_learning_rate()

    def _get_current_learning_rate(self):
        return self.learning_rate_at(self.iterations)

    def _update_model_variables_moving_average(self, trainable_variables):
        steps = self.gradient_accumulation_steps
        if not self.use_ema or not steps:
            super()._update_model_variables_moving_average(trainable_variables)
            return
        # Between two updates the average stays as it is.
        updated = ops.equal((self._iterations + 1) % steps, 0)
        first = ops.equal(self.iterations, 0)
        keep = ops.where(first, 0.0, self.ema_momentum)
        keep = ops.where(updated, keep, 1.0)
        for variable, average in zip(
            trainable_variables,
            self._model_variables_moving_average,
            strict=True,
        ):
            keep_ = ops.cast(keep, average.dtype)
            average.assign(keep_ * average + (1 - keep_) * variable)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "decay": self.decay,
            "momentum_form": self.momentum_form,
        }


def _check_rule(rule):
    try:
        re.compile(rule)
    except (TypeError, re.error) as error:
        raise ValueError(
            '`decay` must be "kernels", "kernels_and_embeddings", "all" or a '
            "regular expression. "
            f"Received: decay={rule!r}"
        ) from error
