"""Is our SGD as fast as core Keras' one?

Both update the 161 trainable variables of a ResNet-50, with Nesterov momentum
and weight decay, in the way `fit` does it on each backend. Ours decays the 54
kernels, inside the momentum; core Keras' decays all, outside of it. On torch
`torch.optim.SGD` runs too, as a bound.

    KERAS_BACKEND=jax python benchmarks/sgd_update.py
"""

import _timing
import keras
import numpy as np
from absl import app, flags

from keras_tricks.models import ResNet50B
from keras_tricks.optimizers import SGD

_WIDTHS = flags.DEFINE_list(
    "widths", ["16", "64"], "Channels of the first stage; 64 is ResNet-50."
)
_STEPS = flags.DEFINE_integer("steps", 5, "Updates in one measurement.")
_REPEATS = flags.DEFINE_integer("repeats", 40, "Measurements of each.")
_JIT = flags.DEFINE_bool("jit_compile", False, "XLA, on TensorFlow.")

_PEER = "keras.optimizers.SGD"


def _optimizers():
    common = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}
    return {
        _PEER: keras.optimizers.SGD(**common, weight_decay=1e-4),
        "keras_tricks SGD": SGD(**common, weight_decay=1e-4),
        "keras_tricks SGD, keras form": SGD(
            **common, weight_decay=1e-4, momentum_form="keras"
        ),
    }


def _variables(shapes):
    rng = np.random.default_rng(0)
    return [
        keras.Variable(0.1 * rng.standard_normal(shape), dtype="float32")
        for shape in shapes
    ]


def _updater_jax(optimizer, variables, grads, steps):
    import jax

    def update(state, trainable, grads):
        return optimizer.stateless_apply(state, grads, trainable)[::-1]

    update = jax.jit(update, donate_argnums=(0, 1))
    carry = [
        [variable.value for variable in optimizer.variables],
        [variable.value for variable in variables],
    ]

    def run():
        for _ in range(steps):
            carry[:] = update(*carry, grads)
        jax.block_until_ready(carry)

    return run


def _updater_tensorflow(optimizer, variables, grads, steps):
    import tensorflow as tf

    @tf.function(jit_compile=_JIT.value)
    def update(grads):
        optimizer.apply(grads, variables)

    def run():
        for _ in range(steps):
            update(grads)

    return run


def _updater_torch(optimizer, variables, grads, steps):
    import torch

    def run():
        for _ in range(steps):
            with torch.no_grad():
                optimizer.apply(grads, variables)

    return run


def _torch_peer(variables, grads, steps):
    """Return `torch.optim.SGD` with a group that decays and one without."""
    import torch

    parameters = [torch.nn.Parameter(v.value.clone()) for v in variables]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad.clone()
    groups = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0},
    ]
    optimizer = torch.optim.SGD(
        groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    )

    def run():
        for _ in range(steps):
            optimizer.step()

    return run


def _compare(width):
    model = ResNet50B(width=width, input_shape=(32, 32, 3))
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    rng = np.random.default_rng(1)
    grads = [
        keras.ops.convert_to_tensor(
            1e-6 * rng.standard_normal(shape, "float32")
        )
        for shape in shapes
    ]
    make = globals()[f"_updater_{keras.backend.backend()}"]
    contenders = {}
    for name, optimizer in _optimizers().items():
        variables = _variables(shapes)
        optimizer.build(variables)
        contenders[name] = make(optimizer, variables, grads, _STEPS.value)
    if keras.backend.backend() == "torch":
        contenders["torch.optim.SGD"] = _torch_peer(
            variables, grads, _STEPS.value
        )
    seconds = _timing.interleave(contenders, _REPEATS.value)
    millions = sum(int(np.prod(shape)) for shape in shapes) / 1e6
    _timing.print_table(
        f"One update of {len(shapes)} variables, {millions:.1f} M values",
        _timing.COMPARISON_HEADER,
        _timing.comparison(seconds, _PEER, 1e3 / _STEPS.value),
    )


def main(_):
    """Print one table for each width."""
    print(_timing.environment())
    for width in _WIDTHS.value:
        _compare(int(width))


if __name__ == "__main__":
    app.run(main)
