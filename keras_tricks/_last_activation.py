import keras

_CLASSES = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
)
# Operations of `keras.ops` in a functional graph that leave logits alone.
_NEUTRAL = ("Identity", "Cast", "Reshape", "Squeeze")


def last_activation(model: keras.Model) -> tuple[str, str] | None:
    """Finds what turns the logits of a model into something else.

    Args:
        model: Any Keras model. The graph of a functional model is followed
            back from its output, into the models inside it; of others the
            last layer is looked at.

    Returns:
        The names of the layer and of its activation, or None if the model
        ends in logits, as far as its structure tells.

    Example:
    >>> head = keras.layers.Dense(3, activation="softmax", name="head")
    >>> last_activation(keras.Sequential([keras.Input((2,)), head]))
    ('head', 'softmax')
    """
    last = _last_operation(model)
    activation = getattr(last, "activation", None)
    name = getattr(activation, "__name__", None)
    if isinstance(last, _CLASSES) and name is None:
        name = type(last).__name__.lower()
    if type(last).__module__.endswith("ops.nn"):
        name = type(last).__name__.lower()
    return None if name in (None, "linear") else (last.name, name)


def _last_operation(model):
    """The operation that makes the output, nested models entered."""
    last = model
    while isinstance(last, keras.Model):
        outputs = getattr(last, "outputs", None)
        if outputs and hasattr(outputs[0], "_keras_history"):
            last = _before_neutral(outputs[0])
        elif last.layers:
            last = last.layers[-1]
        else:
            break
    return last


def _before_neutral(tensor):
    operation, node_index, _ = tensor._keras_history
    while type(operation).__name__ in _NEUTRAL or _is_linear(operation):
        parents = operation._inbound_nodes[node_index].input_tensors
        if not parents:
            break
        operation, node_index, _ = parents[0]._keras_history
    return operation


def _is_linear(operation):
    return (
        isinstance(operation, keras.layers.Activation)
        and operation.activation is keras.activations.linear
    )
