import keras

from keras_tricks._model_facts.activations import (
    ACTIVATION_NAMES,
    NEUTRAL,
    is_linear_activation,
)


def last_activation(model: keras.Model) -> tuple[str, str] | None:
    """Find what turns the logits of a model into something else.

    Args:
        model: Any Keras model. The graph of a functional model is followed
            back from its output, into the models inside it. Of a subclassed
            one the last layer is looked at, and only a softmax counts:
            another activation may be used before the end.

    Returns:
        The names of the layer and of its activation, or None if the model
        ends in logits, as far as its structure tells.

    Example:
    >>> head = keras.layers.Dense(3, activation="softmax", name="head")
    >>> last_activation(keras.Sequential([keras.Input((2,)), head]))
    ('head', 'softmax')
    """
    last, certain = _last_operation(model)
    name = _activation_name(last)
    if name in (None, "linear") or not (certain or name == "softmax"):
        return None
    return last.name, name


def check_ends_in_logits(name: str, model: keras.Model) -> None:
    """Refuse a model whose last layer turns logits into something else.

    Args:
        name: What the model is called, for the message.
        model: Any Keras model, see `last_activation`.

    Raises:
        ValueError: If its structure tells that it does.
    """
    found = last_activation(model)
    if found is not None:
        raise ValueError(
            f"`{name}` must end in logits, without an activation: build it "
            "with classifier_activation=None, or set `activation` of its "
            f"last layer to keras.activations.linear. Received: {name}="
            f"{model.name!r}, whose layer {found[0]!r} has {found[1]}"
        )


def _activation_name(operation):
    """Return the name of the activation that a layer has or is, or None."""
    activation = getattr(operation, "activation", operation)
    if activation is None or isinstance(activation, str):
        return None
    kinds = [kind.__name__.lower() for kind in type(activation).__mro__]
    known = [kind for kind in kinds if kind in ACTIVATION_NAMES]
    if known or activation is operation:
        return known[0] if known else None
    return getattr(activation, "__name__", kinds[0])


def _last_operation(model):
    """Find the operation that makes the output, and whether that is certain."""
    last, certain = model, True
    while isinstance(last, keras.Model):
        outputs = getattr(last, "outputs", None)
        if outputs and hasattr(outputs[0], "_keras_history"):
            last = _before_neutral(outputs[0])
        elif last.layers:
            certain = certain and isinstance(last, keras.Sequential)
            last = last.layers[-1]
        else:
            break
    return last, certain


def _before_neutral(tensor):
    operation, node_index, _ = tensor._keras_history
    while type(operation).__name__ in NEUTRAL or is_linear_activation(
        operation
    ):
        parents = operation._inbound_nodes[node_index].input_tensors
        if not parents:
            break
        operation, node_index, _ = parents[0]._keras_history
    return operation
