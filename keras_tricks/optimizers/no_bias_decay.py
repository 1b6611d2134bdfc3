import keras

from keras_tricks.optimizers.decay_report import (
    DecayReport,
    make_report,
    unwrap,
)
from keras_tricks.optimizers.sgd import SGD, decays


def no_bias_decay(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> DecayReport:
    """Make any core Keras optimizer decay kernels only.

    Variables of rank 0 and 1 (biases, γ, β) are excluded by identity, the
    same on every backend, also through a `LossScaleOptimizer`. Core Keras
    does not save exclusions: call this again after loading a model.
    `keras_tricks.optimizers.SGD` saves its rule and needs no call.

    Args:
        optimizer: A core Keras optimizer with `weight_decay` set.
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
        arXiv 1812.01187, section 3.1, "no bias decay".
    """
    inner = unwrap(optimizer)
    if isinstance(inner, SGD):
        raise ValueError(
            "`optimizer` must be a core Keras optimizer; "
            'keras_tricks.optimizers.SGD takes decay="kernels" instead. '
            f"Received: optimizer={inner.name!r}"
        )
    if not inner.weight_decay:
        raise ValueError(
            "`optimizer` must have a weight decay above 0. "
            f"Received: weight_decay={inner.weight_decay}"
        )
    variables = model.trainable_variables
    excluded = [v for v in variables if not decays(v, "kernels")]
    if len(excluded) == len(variables):
        raise ValueError(
            "`model` must be built and have a trainable variable of rank 2 "
            f"or above. Received: {len(variables)} trainable variables"
        )
    inner.exclude_from_weight_decay(var_list=excluded)
    return make_report(inner, model)
