import keras
import numpy as np
from keras import ops

from keras_tricks._model_facts.activations import ACTIVATION_LAYERS, NEUTRAL
from keras_tricks._types import Activation
from keras_tricks.layers.conv_norm import get_activation
from keras_tricks.surgery.graph import Node, flatten
from keras_tricks.surgery.nodes import is_function, is_linear
from keras_tricks.surgery.rebuild import (
    Replacement,
    check_graph,
    custom_objects,
    from_config,
    get_config,
    rebuild,
)
from keras_tricks.surgery.report import SurgeryReport

_LAYERS = (*ACTIVATION_LAYERS, keras.layers.Softmax)
# What makes probabilities or pixels of feature maps.
OUTPUT_ACTIVATIONS = ("softmax", "sigmoid", "log_softmax", "tanh")


def swap_activations(
    model: keras.Model, activation: Activation, old: Activation = "relu"
) -> tuple[keras.Model, SurgeryReport]:
    """Build a model again with one activation in place of another.

    `layer(x) = old(f(x))` becomes `activation(f(x))`, with the same weights.

    Found are `Activation` layers, layers such as `ReLU` and functions such as
    `keras.ops.relu` that compute the same, and whatever has the old one as
    `activation` in its configuration: convolutions, dense layers, the blocks
    of `keras_tricks`, layers in a wrapper. Functional and `Sequential` models
    inside the model are entered.

    What makes the output of the model is never touched, nor is an activation
    of another kind or with other parameters. An output that is a feature map
    is not a head, so the last ReLU of a backbone is swapped.

    The model that is given stays as it is, compiled or not: a compiled
    function would keep the old activation.

    Args:
        model: A functional or `Sequential` model.
        activation: Name or function. Register a function of your own, as
            saving needs it.
        old: Name or function of the activation to replace. Defaults to
            `"relu"`.

    Returns:
        A new model with a copy of the weights, not compiled, and a
        `SurgeryReport`: the layers that changed, and those left alone with
        the reason.

    Raises:
        ValueError: For an unknown activation, `old` that is linear or the same
            as the new one, a model without a graph, a layer that cannot be
            made again from its configuration, or when nothing was found.

    Example:
    >>> model = keras.Sequential([
    ...     keras.Input((8,)),
    ...     keras.layers.Dense(4, activation="relu", name="hidden"),
    ...     keras.layers.Dense(2, activation="softmax", name="head"),
    ... ])
    >>> model, report = swap_activations(model, "silu")
    >>> report.changed
    (('hidden', 'relu', 'silu'),)

    Reference:
        - [Ramachandran et al., 2017](https://arxiv.org/abs/1710.05941)
    """
    check_graph(model)
    new, old = get_activation(activation), _get_old(old)
    if new is old:
        raise ValueError(
            "`activation` must differ from `old`. "
            f"Received: activation={activation!r}, old={_name(old)!r}"
        )
    nodes = flatten(model)
    heads = _heads(nodes, old)
    replacements, changed, skipped = {}, {}, {}
    with keras.saving.custom_object_scope(custom_objects(model)):
        for node in nodes:
            replacement = _replacement(node, new, old)
            if replacement is None:
                if _holds(node.operation, old):
                    skipped[node.path] = "its configuration does not have it"
            elif id(node.operation) in heads:
                skipped[node.path] = "it makes the output of the model"
            else:
                replacements[id(node.operation)] = replacement
                changed[node.path] = (_name(old), _name(new))
    if not changed:
        reasons = "".join(f"; {path}: {why}" for path, why in skipped.items())
        raise ValueError(
            "`old` must be an activation inside the model. "
            f"Received: old={_name(old)!r}, model={model.name!r}{reasons}"
        )
    result, notes = rebuild(model, replacements)
    for node in nodes:
        replacement = replacements.get(id(node.operation))
        if replacement and _holds(replacement.layers[0], old):
            skipped[node.path] = "a part is not in its configuration"
    report = SurgeryReport(
        f"swapped {_name(old)} for {_name(new)}",
        tuple((path, *names) for path, names in changed.items()),
        skipped=tuple(skipped.items()),
        notes=notes,
    )
    return result, report


def _get_old(old):
    """Return the function of `old`, which must do something."""
    function = get_activation(old)
    if function is keras.activations.linear:
        raise ValueError(
            "`old` must be an activation that is not linear. "
            f"Received: old={old!r}"
        )
    return function


def _name(function) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _heads(nodes: list[Node], old) -> set[int]:
    """Return the ids of the operations that make outputs to leave alone."""
    heads = set()
    for node in nodes:
        if node.is_output:
            while node.parents and (node.kind in NEUTRAL or is_linear(node)):
                node = node.parents[0]
            if len(node.output.shape) < 3 or _name(old) in OUTPUT_ACTIVATIONS:
                heads.add(id(node.operation))
    return heads


def _replacement(node: Node, new, old) -> Replacement | None:
    """Return what takes the place of a node, or `None` to keep it."""
    operation = node.operation
    if isinstance(operation, _LAYERS) or is_function(operation):
        if len(node.parents) != 1 or not _computes(operation, old):
            return None
        is_layer = isinstance(operation, keras.layers.Layer)
        dtype = operation.dtype_policy if is_layer else node.output.dtype
        return Replacement(
            [keras.layers.Activation(new, dtype=dtype, name=operation.name)]
        )
    if not isinstance(operation, keras.layers.Layer):
        return None
    changes = {}
    for key, value in get_config(operation).items():
        swapped, found = _swap(key, value, new, old)
        if found:
            changes[key] = swapped
    if not changes:
        return None
    layer = from_config(operation, **changes)
    return Replacement([layer], heir=layer)


def _computes(operation, old) -> bool:
    """Say whether an elementwise operation gives the same values as `old`."""
    x = ops.convert_to_tensor(np.linspace(-10, 10, 81, dtype="float32")[None])
    ours, theirs = operation.call(x), old(x)
    return np.array_equal(
        ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs)
    )


def _swap(key, value, new, old):
    """Swap activations in a part of a layer's configuration.

    Returns:
        The part, and whether anything in it was swapped.
    """
    if key == "activation" and _is(value, old):
        return keras.activations.serialize(new), True
    if isinstance(value, dict):
        if _is_layer_that_computes(value, old):
            return _serialized_activation(value, new), True
        pairs = {k: _swap(k, v, new, old) for k, v in value.items()}
        swapped = {k: part for k, (part, _) in pairs.items()}
        return swapped, any(found for _, found in pairs.values())
    if isinstance(value, list):
        pairs = [_swap(None, part, new, old) for part in value]
        return [part for part, _ in pairs], any(found for _, found in pairs)
    return value, False


def _is(value, old) -> bool:
    """Return whether a value of a configuration stands for `old`."""
    try:
        return keras.activations.get(value) is old
    except (ValueError, TypeError):
        return False


def _is_layer_that_computes(value, old) -> bool:
    names = [layer.__name__ for layer in _LAYERS]
    if value.get("class_name") not in names:
        return False
    return _computes(keras.saving.deserialize_keras_object(value), old)


def _serialized_activation(value, new):
    """Return the configuration of an activation layer for another's."""
    layer = keras.layers.Activation(
        new,
        dtype=value["config"].get("dtype"),
        name=value["config"].get("name"),
    )
    return {**value, **keras.saving.serialize_keras_object(layer)}


def _holds(operation, old) -> bool:
    """Return whether a layer has the old activation somewhere inside."""
    if not isinstance(operation, keras.layers.Layer):
        return False
    return any(
        getattr(part, "activation", None) is old
        or (isinstance(part, _LAYERS) and _computes(part, old))
        for part in operation._flatten_layers()
    )
