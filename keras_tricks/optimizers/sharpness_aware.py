from typing import Any

import keras
from keras import ops

from keras_tricks import _checks


def sharpest_step(gradients: list, rho: float) -> list:
    """Return the step of length ρ along which a loss rises fastest.

    Formula, with the gradients g of all variables as one vector:
    `e = ρ g / ‖g‖`. Where the norm is 0 or not finite the step is 0.

    Args:
        gradients: List of float tensors; None where there is no gradient.
        rho: ρ, the length of the step.

    Returns:
        A list of tensors of the same shapes, with None in the same places.

    Example:
    >>> step, = sharpest_step([ops.convert_to_tensor([3.0, 4.0])], rho=2.5)
    >>> ops.convert_to_numpy(step).tolist()
    [1.5, 2.0]

    Reference:
        - [Foret et al., 2020](https://arxiv.org/abs/2010.01412), equation 2
    """
    given = [g for g in gradients if g is not None]
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in given]
    norm = ops.sqrt(sum(squares, ops.zeros(())))
    usable = ops.logical_and(norm > 0, ops.isfinite(norm))
    scale = ops.where(usable, rho / ops.where(usable, norm, 1.0), 0.0)
    return [
        None
        if g is None
        else ops.where(usable, g * ops.cast(scale, g.dtype), ops.zeros_like(g))
        for g in gradients
    ]


def sharpness_aware(model: keras.Model, rho: float = 0.05) -> keras.Model:
    """Let the training steps of a model look for flat minima (SAM).

    Formula, for the weights w, the loss L of a batch and the optimizer of
    the model, which sees the gradient where the loss is the sharpest nearby:

        e = ρ ∇L(w) / ‖∇L(w)‖
        w = update(w, ∇L(w + e))

    A step computes two gradients, so it takes about twice the time. Batch
    norms normalize with their batch in both passes; their moving statistics,
    and the logged loss and metrics, are those of the first pass, at w. Both
    passes start from the same states of random generators that Keras saves;
    on PyTorch dropout without a seed has another mask in the second one. With
    gradient accumulation each batch has its own e.

    The model is changed in memory alone: what it saves is the plain model, to
    which this is applied again after loading; compiled again, it stays as it
    is changed. It holds for any Keras optimizer, with a loss scale too, on a
    single device.

    Args:
        model: A compiled model; its next `fit` is changed, as are
            `train_on_batch` and the like.
        rho: ρ, above 0. Defaults to 0.05.

    Returns:
        The same model.

    Raises:
        ValueError: If ρ is not above 0, the model is not compiled, or it was
            changed before.

    Example:
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> model = sharpness_aware(model, rho=0.05)
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)

    Reference:
        - [Foret et al., 2020](https://arxiv.org/abs/2010.01412), algorithm 1
    """
    rho = _checks.check_real("rho", rho, low=0, open_low=True)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a Keras model. Received: model={model!r}"
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "`model` must be compiled. "
            f"Received: model={model.name!r} without an optimizer"
        )
    if hasattr(model.train_step, "rho"):
        raise ValueError(
            "`model` must be given once. Received: "
            f"model={model.name!r}, with rho={model.train_step.rho:g} already"
        )
    step = model.train_step

    def train_step(*args: Any) -> Any:
        # JAX gives its state, the others keep it in the variables.
        two_passes = _of_state if len(args) == 2 else _of_variables
        return two_passes(model, step, rho, *args)

    train_step.rho = rho  # type: ignore[attr-defined]
    model.train_step = train_step
    model.train_function = None
    return model


class _Replaced:
    """Puts another method into an object, until the block ends."""

    def __init__(self, owner, name, method):
        self.attributes, self.name, self.method = vars(owner), name, method

    def __enter__(self):
        # Not by `setattr`, which Keras overrides.
        self.before = self.attributes.get(self.name)
        self.attributes[self.name] = self.method

    def __exit__(self, *error):
        del self.attributes[self.name]
        if self.before is not None:
            self.attributes[self.name] = self.before


def _of_state(model, step, rho, state, data):
    """Take a step as JAX does, from one state to the next."""
    weights, others, slots, metrics = state
    update = model.optimizer.stateless_apply

    def climb(slots, gradients, weights):
        steps = sharpest_step(gradients, rho)
        return _add(weights, steps), slots

    def descend(slots, gradients, _):
        return update(slots, gradients, weights)

    with _Replaced(model.optimizer, "stateless_apply", climb):
        logs, (above, new_others, slots, metrics) = step(state, data)
    with _Replaced(model.optimizer, "stateless_apply", descend):
        _, (weights, _, slots, _) = step((above, others, slots, metrics), data)
    return logs, (weights, new_others, slots, metrics)


def _of_variables(model, step, rho, data):
    """Take a step that changes variables in place."""
    update = model.optimizer.apply
    kept = [*model.non_trainable_variables, *model.metrics_variables]
    before = _copies(kept)
    origin = []

    def climb(gradients, variables=None):
        variables = variables or model.trainable_variables
        origin.append((variables, _copies(variables)))
        _assign(variables, _add(variables, sharpest_step(gradients, rho)))

    def descend(gradients, variables=None):
        _assign(*origin[0])
        update(gradients, variables)

    with _Replaced(model.optimizer, "apply", climb):
        logs = step(data)
        logs = {name: ops.copy(value) for name, value in logs.items()}
    after = _copies(kept)
    _assign(kept, before)
    with _Replaced(model.optimizer, "apply", descend):
        step(data)
    _assign(kept, after)
    return logs


def _add(values, steps):
    return [
        ops.convert_to_tensor(value)
        if step is None
        else value + ops.cast(step, value.dtype)
        for value, step in zip(values, steps, strict=True)
    ]


def _copies(variables):
    return [ops.copy(ops.convert_to_tensor(v)) for v in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(ops.stop_gradient(value))
