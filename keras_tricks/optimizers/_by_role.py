"""What our optimizers add to those of core Keras."""

import collections
from typing import Any, NoReturn

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor
from keras_tricks.optimizers import _torch_sgd
from keras_tricks.optimizers._roles import (
    check_matches,
    check_pattern,
    decays,
    in_head,
)
from keras_tricks.optimizers.adaptive_gradient_clipping import (
    AdaptiveGradientClipping,
)


def fused(core: Any) -> Any:
    """Return the class that core Keras makes of one of its optimizers.

    PyTorch updates lists of tensors in one call, for core's own classes but
    not for their subclasses, which it does not know.

    Args:
        core: A class such as `keras.optimizers.AdamW`.
    """
    return type(core.__new__(core))


# What the mixin is put before is known to its subclasses alone.
_Behind: Any = object


class ByRole(_Behind):
    """Mixin of a Keras optimizer: decay by role, rates by variable, counters.

    The decay is decoupled, `w = w - η λ w` before the update of the
    optimizer, unless a class says otherwise. The learning rate, the decay and
    the moving average see updates, not accumulated batches.

    A class with an `update_step` of its own asks `_scaled` for the rate.

    Args:
        learning_rate: A float or a `LearningRateSchedule`.
        weight_decay: λ, at least 0.
        decay: Which variables decay, see `decays`.
        adaptive_clipping: What clips the gradients, or None, or its config.
        rate_scales: By path of a variable, or the end of one, the factor of
            its learning rate, above 0; 1 for all others. The longest end
            counts. None for 1 for all.
        **kwargs: Arguments of the optimizer behind.
    """

    slots: tuple[str, ...] = ()
    """Attributes with the buffers of all variables."""

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float,
        decay: str,
        adaptive_clipping: Any = None,
        rate_scales: dict[str, float] | None = None,
        **kwargs: Any,
    ):
        if not callable(learning_rate):
            learning_rate = _checks.check_real(
                "learning_rate", learning_rate, low=0
            )
        weight_decay = _checks.check_real("weight_decay", weight_decay, low=0)
        check_pattern(
            "decay", decay, '"kernels", "kernels_and_embeddings", "all"'
        )
        _check_numbers(kwargs)
        if kwargs.get("ema_overwrite_frequency") and kwargs.get(
            "gradient_accumulation_steps"
        ):
            raise ValueError(
                "`ema_overwrite_frequency` must be None with gradient "
                "accumulation: the weights would change between two parts "
                "of one batch. Received: ema_overwrite_frequency="
                f"{kwargs['ema_overwrite_frequency']}"
            )
        if isinstance(adaptive_clipping, dict):
            adaptive_clipping = keras.saving.deserialize_keras_object(
                adaptive_clipping
            )
        _check_clipping(adaptive_clipping, kwargs)
        super().__init__(
            learning_rate=learning_rate, weight_decay=weight_decay, **kwargs
        )
        self.decay = decay
        self.adaptive_clipping = adaptive_clipping
        self.rate_scales = _check_scales(rate_scales)

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        if _torch_sgd.updates_lists():
            for name in self.slots:
                buffers = getattr(self, name) or [None] * len(variables)
                for buffer, variable in zip(buffers, variables, strict=True):
                    if buffer is not None:
                        _torch_sgd.lay_out_alike([buffer], [variable])
        self._decays = [decays(v, self.decay) for v in variables]
        if self.adaptive_clipping is not None:
            exclude = self.adaptive_clipping.exclude
            check_matches("exclude", exclude, variables)
            self._unclipped = in_head(variables, exclude)
        if self.weight_decay and not any(self._decays):
            raise ValueError(
                "`decay` must match at least one of the "
                f"{len(variables)} trainable variables, such as "
                f"{variables[0].path!r}; use weight_decay=0 for no decay. "
                f"Received: decay={self.decay!r}"
            )
        self._factors = _factors(self.rate_scales, variables)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        rate = self._scaled(learning_rate, index)
        if self._decays[index] and self.weight_decay:
            decay = ops.cast(self.weight_decay, variable.dtype)
            step = variable * decay * ops.cast(rate, variable.dtype)
            self.assign_sub(variable, step)
        super().update_step(gradient, variable, rate)

    def _parallel_update_step(self, grads, variables, learning_rate):
        """Do what `update_step` does, where core updates lists of tensors."""
        for rate, chosen in self._alike(variables, learning_rate):
            some = [variables[i] for i in chosen]
            if self.weight_decay:
                decayed = [
                    v for v in some if self._decays[self._get_variable_index(v)]
                ]
                _torch_sgd.list_decay(decayed, self.weight_decay, rate)
            super()._parallel_update_step(
                [grads[i] for i in chosen], some, rate
            )

    def _apply_weight_decay(self, variables):
        """Do nothing: the decay is part of the update of each variable."""

    def _scaled(self, learning_rate, index):
        """Return the rate of the variable at an index."""
        factor = self._factors[index]
        return learning_rate if factor == 1 else learning_rate * factor

    def _alike(self, variables, learning_rate):
        """Return rates, and the places of the variables that have each."""
        places = collections.defaultdict(list)
        for place, variable in enumerate(variables):
            factor = self._factors[self._get_variable_index(variable)]
            places[factor].append(place)
        return [
            (learning_rate if factor == 1 else learning_rate * factor, chosen)
            for factor, chosen in places.items()
        ]

    def _backend_apply_gradients(self, grads, trainable_variables):
        # `_clip_gradients` is not told whose gradients it gets. Not by
        # `setattr`: Keras would take them for variables of the optimizer.
        vars(self)["_updated"] = trainable_variables
        super()._backend_apply_gradients(grads, trainable_variables)

    def _clip_gradients(self, grads):
        if self.adaptive_clipping is None:
            return super()._clip_gradients(grads)
        variables = vars(self)["_updated"]
        indices = [self._get_variable_index(v) for v in variables]
        excluded = [self._unclipped[i] for i in indices]
        return self.adaptive_clipping(grads, variables, excluded)

    def exclude_from_weight_decay(
        self, var_list: list | None = None, var_names: list | None = None
    ) -> NoReturn:
        """Refuse core Keras' way, which is not saved: the rule is `decay`."""
        raise ValueError(
            "`exclude_from_weight_decay` must not be called: give "
            "`decay`, a regular expression on the paths of what decays. "
            f"Received: var_list={var_list}, var_names={var_names}"
        )

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
        config = {**super().get_config(), "decay": self.decay}
        if self.adaptive_clipping is not None:
            config["adaptive_clipping"] = keras.saving.serialize_keras_object(
                self.adaptive_clipping
            )
        if self.rate_scales is not None:
            config["rate_scales"] = dict(self.rate_scales)
        return config


def _check_numbers(arguments):
    """Refuse values that core Keras takes for none, or for their opposite.

    A negative `clipnorm` does not clip there, and 0 accumulated batches are 1.
    """
    for name in (
        "clipnorm",
        "global_clipnorm",
        "clipvalue",
        "loss_scale_factor",
        "epsilon",
        "rms_rate",
        "adam_lr_ratio",
    ):
        if arguments.get(name) is not None:
            _checks.check_real(name, arguments[name], 0, None, True)
    for name, least in (("gradient_accumulation_steps", 2), ("ns_steps", 1)):
        if arguments.get(name) is not None:
            _checks.check_int(name, arguments[name], least)
    for name in {"nesterov", "amsgrad", "use_ema"} & arguments.keys():
        if arguments[name] in (True, False):
            arguments[name] = bool(arguments[name])
        else:
            raise ValueError(
                f"`{name}` must be True or False. "
                f"Received: {name}={arguments[name]!r}"
            )


def _check_scales(scales):
    """Return factors of rates as floats, or None."""
    if scales is None:
        return None
    if not isinstance(scales, dict):
        raise ValueError(
            "`rate_scales` must be a dict of paths and factors, or None. "
            f"Received: rate_scales={scales!r}"
        )
    return {
        path: _checks.check_real(
            f"rate_scales[{path!r}]", factor, 0, None, True
        )
        for path, factor in scales.items()
    }


def _factors(scales, variables):
    """Return the factor of each variable; refuse paths that none has."""
    scales = scales or {}
    paths = [variable.path for variable in variables]
    keys = [_key_of(path, scales) for path in paths]
    for key in scales:
        if key not in keys:
            raise ValueError(
                "`rate_scales` must have paths, or ends of paths, of the "
                f"{len(paths)} trainable variables. Received: "
                f"{key!r}{_checks.near(key, paths)}"
            )
    return [scales.get(key, 1.0) for key in keys]


def _key_of(path, scales):
    """Return the longest end of a path that is a key, or None."""
    words = path.split("/")
    ends = ("/".join(words[start:]) for start in range(len(words)))
    return next((end for end in ends if end in scales), None)


def _check_clipping(adaptive_clipping, others):
    """Refuse what cannot clip, and two clippings at once."""
    if adaptive_clipping is None:
        return
    if not isinstance(adaptive_clipping, AdaptiveGradientClipping):
        raise ValueError(
            "`adaptive_clipping` must be an `AdaptiveGradientClipping` or "
            f"None. Received: adaptive_clipping={adaptive_clipping!r}"
        )
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        if others.get(name) is not None:
            raise ValueError(
                f"`{name}` must be None with `adaptive_clipping`. "
                f"Received: {name}={others[name]}"
            )


def check_betas(beta_1, beta_2):
    """Refuse rates of moving averages outside of [0, 1)."""
    _checks.check_real("beta_1", beta_1, 0, 1, open_high=True)
    _checks.check_real("beta_2", beta_2, 0, 1, open_high=True)
