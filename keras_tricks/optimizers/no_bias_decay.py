import keras

from keras_tricks.optimizers._by_role import ByRole
from keras_tricks.optimizers._roles import decays
from keras_tricks.optimizers.decay_report import (
    DecayReport,
    make_report,
    parts,
)


def no_bias_decay(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> DecayReport:
    """Make any core Keras optimizer decay kernels only.

    What is no kernel (see `SGD(decay="kernels")`) is excluded by identity,
    the same on every backend, also through a `LossScaleOptimizer` and in each
    part of a `MultiOptimizer` that has a weight decay. Core Keras
    does not save exclusions: call this again after loading a model.
    The optimizers of `keras_tricks.optimizers` save their rule and need no
    call.

    Args:
        optimizer: A core Keras optimizer with `weight_decay` set, or a
            `MultiOptimizer` of such.
        model: A built Keras model.

    Returns:
        A `DecayReport` of what decays and what was excluded.

    Raises:
        ValueError: If the optimizer has no weight decay, the model has no
            trainable variables, or no variable would be left to decay.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.05)
    >>> print(no_bias_decay(optimizer, model).summary())
    decayed: 1 variables, 6 values
    not decayed: 1 variables, 3 values

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1, "no
          bias decay"
    """
    pairs = parts(optimizer, model)
    kernels = [v for v, _ in pairs if decays(v, "kernels")]
    if not kernels:
        raise ValueError(
            "`model` must be built and have a trainable kernel, of rank 2 "
            f"or above. Received: {len(pairs)} trainable variables"
        )
    used = {id(part): part for _, part in pairs}.values()
    for part in used:
        if isinstance(part, ByRole):
            raise ValueError(
                "`optimizer` must be a core Keras optimizer; those of "
                'keras_tricks.optimizers take decay="kernels" instead. '
                f"Received: optimizer={part.name!r}"
            )
    if not any(part.weight_decay for part in used):
        raise ValueError(
            "`optimizer` must have a weight decay above 0. "
            f"Received: weight_decay={next(iter(used)).weight_decay}"
        )
    for part in used:
        if part.weight_decay:
            mine = [v for v, its in pairs if its is part]
            part.exclude_from_weight_decay(
                var_list=[v for v in mine if not decays(v, "kernels")]
            )
    return make_report(optimizer, model)
