"""Another last layer for a classifier, which gives logits."""

import keras

from keras_tricks._checks import check_int, check_real
from keras_tricks._model_facts.activations import (
    NEUTRAL,
    is_linear_activation,
)
from keras_tricks.surgery.graph import Node, flatten
from keras_tricks.surgery.rebuild import (
    Replacement,
    check_graph,
    from_config,
    rebuild,
)
from keras_tricks.surgery.report import SurgeryReport


class _Same(Replacement):
    """A layer that passes its input on, in the place of a softmax."""

    def __call__(self, x, *args, **kwargs):
        # A softmax may have a mask and an axis.
        return self.layers[0](x)


def change_head(
    model: keras.Model,
    num_classes: int | None = None,
    dropout: float | None = None,
    fresh: bool = False,
) -> tuple[keras.Model, SurgeryReport]:
    """Build a classifier again with logits at its end.

    `y = softmax(W x + b)` becomes `y = W x + b`, with the same `W` and `b`,
    in float32 under every dtype policy. With another number of classes `W`
    and `b` start anew.

    The head is the last dense layer, or the last 1x1 convolution of a map of
    one pixel, as the MobileNets of `keras.applications` have. After it there
    may be a softmax and what only reshapes, which goes.

    The model that is given stays as it is.

    Args:
        model: A functional or `Sequential` model with one output.
        num_classes: Number of logits K. Defaults to `None`, as many as there
            are.
        dropout: Rate of the dropout in front of the head, in [0, 1), which is
            put there if there is none. Defaults to `None`, as it is.
        fresh: Whether the head starts anew although it would fit. Defaults
            to `False`.

    Returns:
        A new model with a copy of the weights, not compiled, with outputs of
        shape `(B, K)`, float32; and a `SurgeryReport`: what changed in the
        head, and its path in `fresh` if it starts anew.

    Raises:
        ValueError: For a model without a graph or with several outputs, one
            that ends in neither of the two layers, or in another activation
            than a softmax.

    Example:
    >>> head = keras.layers.Dense(3, activation="softmax", name="head")
    >>> model = keras.Sequential([keras.Input((4,)), head])
    >>> logits, report = change_head(model)
    >>> report.changed
    (('head', '3 softmax', '3 logits'),)
    >>> other, report = change_head(model, 5)
    >>> other.output_shape, report.fresh
    ((None, 5), ('head',))

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 6:
          transfer learning
    """
    check_graph(model)
    if num_classes is not None:
        num_classes = check_int("num_classes", num_classes, 1)
    if dropout is not None:
        dropout = check_real("dropout", dropout, 0, 1, open_high=True)
    nodes = flatten(model)
    head, after = _find_head(model, nodes)
    layer = head.operation
    count = layer.units if _is_dense(head) else layer.filters
    ends = [_function(layer), *(_function(n.operation) for n in after)]
    softmax = "softmax" in ends
    fresh = fresh or num_classes not in (None, count)
    wanted = count if num_classes is None else num_classes
    layers, heir = _new_head(layer, wanted, fresh)
    replacements = {}
    if dropout is not None:
        before = head.parents[0]
        if type(before.operation) is keras.layers.Dropout:
            new = from_config(before.operation, rate=dropout)
            replacements[id(before.operation)] = Replacement([new])
        elif dropout:
            name = f"{layer.name}_dropout"
            layers.insert(0, keras.layers.Dropout(dropout, name=name))
    replacements[id(layer)] = Replacement(layers, heir)
    for node in after:
        name = node.operation.name
        same = keras.layers.Identity(dtype="float32", name=name)
        replacements[id(node.operation)] = _Same([same])
    result, notes = rebuild(model, replacements)
    changed = (head.path, f"{count} {'softmax' if softmax else 'logits'}")
    report = SurgeryReport(
        "changed the head",
        ((*changed, f"{wanted} logits"),) if fresh or softmax else (),
        fresh=(head.path,) if fresh else (),
        notes=notes,
    )
    return result, report


def _is_dense(node: Node) -> bool:
    return isinstance(node.operation, keras.layers.Dense)


def _is_head(node: Node) -> bool:
    """Return whether a node is what a classifier ends in."""
    shape = node.output.shape[1:]
    if _is_dense(node):
        return len(shape) == 1
    is_convolution = isinstance(node.operation, keras.layers.Conv2D)
    return is_convolution and (1, 1) in (shape[:2], shape[1:])


def _function(operation):
    """Return the name of the activation that an operation has or is."""
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    if activation is not None:
        return getattr(activation, "__name__", type(activation).__name__)
    if isinstance(operation, keras.layers.Layer):
        return "linear"
    name = type(operation).__name__.lower()
    return name if hasattr(keras.activations, name) else "linear"


def _find_head(model, nodes):
    """Return the node of the head, and those that follow it."""
    outputs = [node for node in nodes if node.is_output]
    if len(outputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "`model` must have one output, of a classifier. "
            f"Received: model={model.name!r} with {len(model.outputs)}"
        )
    node, after = outputs[0], []
    while not _is_head(node):
        passes = node.kind in NEUTRAL or is_linear_activation(node.operation)
        passes = passes or _function(node.operation) == "softmax"
        if len(node.parents) != 1 or not passes:
            raise ValueError(
                "`model` must end in a dense layer, or in a 1x1 convolution "
                "of one pixel, and a softmax at most. Received: "
                f"model={model.name!r}, which has {node.kind} {node.path!r}"
            )
        after.append(node)
        node = node.parents[0]
    found = _function(node.operation)
    if found not in ("linear", "softmax"):
        raise ValueError(
            "`model` must end in logits, or in a softmax of them. Received: "
            f"model={model.name!r}, whose layer {node.path!r} has {found}"
        )
    operations = [id(other.operation) for other in nodes]
    for one in (node, *after):
        if one.consumers > 1 or operations.count(id(one.operation)) > 1:
            raise ValueError(
                "`model` must use its last layer once. Received: "
                f"model={model.name!r}, layer={one.path!r}"
            )
    return node, after


def _new_head(layer, num_classes, fresh):
    """Return the layers in place of a head, and its heir."""
    flat = keras.layers.Flatten(dtype="float32", name=f"{layer.name}_flatten")
    options = {"activation": "linear", "dtype": "float32"}
    if isinstance(layer, keras.layers.Dense):
        new = from_config(layer, units=num_classes, **options)
        return [new], None if fresh else new
    if not fresh:
        new = from_config(layer, **options)
        return [new, flat], new
    return [
        flat,
        keras.layers.Dense(num_classes, dtype="float32", name=layer.name),
    ], None
