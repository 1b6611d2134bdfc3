import collections

import keras


def compute_dtypes(model: keras.Model) -> collections.Counter:
    """Count the layers with weights of their own by what they compute in.

    The policy of the model itself may be another: a functional model has the
    global one, whatever its layers were given.

    Example:
    >>> layers = [
    ...     keras.layers.Dense(3, dtype="mixed_float16") for _ in range(2)
    ... ]
    >>> head = keras.layers.Dense(2, dtype="float32")
    >>> model = keras.Sequential([keras.Input((4,)), *layers, head])
    >>> compute_dtypes(model).most_common()
    [('float16', 2), ('float32', 1)]
    """
    return collections.Counter(
        layer.compute_dtype
        for layer in model._flatten_layers(include_self=False)
        if layer._trainable_variables or layer._non_trainable_variables
    )
