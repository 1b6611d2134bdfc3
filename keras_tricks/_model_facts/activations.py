"""Names of activations, and of what leaves the values of an output alone."""

import keras

# Classes of layers, and of operations of `keras.ops` in a graph, lower case.
ACTIVATION_NAMES = {name.replace("_", "") for name in dir(keras.activations)}
ACTIVATION_NAMES.add("prelu")
# Layers that apply one function without weights, beside `Activation`.
ACTIVATION_LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
)
# Classes of layers and operations that keep values, but for their order.
NEUTRAL = ("Identity", "Cast", "Reshape", "Squeeze", "Flatten", "Dropout")


def is_linear_activation(operation) -> bool:
    """Return whether an operation is an `Activation` layer that does nothing.

    Example:
    >>> is_linear_activation(keras.layers.Activation("linear"))
    True
    """
    return (
        isinstance(operation, keras.layers.Activation)
        and operation.activation is keras.activations.linear
    )
