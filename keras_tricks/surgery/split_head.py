import keras

from keras_tricks.surgery.graph import Node, flatten, functional
from keras_tricks.surgery.groups import pieces
from keras_tricks.surgery.rebuild import check_graph


def split_head(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a network behind all that is the same in each step of training.

    `head(front(x)) == model(x)`, in training too. The cut is as late as can
    be: in front of it nothing trains, no batch norm takes statistics of the
    batch, and nothing is random, such as dropout.

    Args:
        model: A functional or `Sequential` model that is frozen in part, see
            `freeze`.

    Returns:
        Two models, `(front, head)`, of the layers of `model`, which is as it
        was. Train `head`, and `model` is trained.

    Raises:
        ValueError: For a model without a graph, with more than one input or
            output, or of which nothing with a kernel is in front of a cut.

    Example:
    >>> from keras_tricks.surgery import freeze
    >>> model = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(3, name="body"),
    ...     keras.layers.Dropout(0.5), keras.layers.Dense(2),
    ... ])
    >>> report = freeze(model, "backbone")
    >>> front, head = split_head(model)
    >>> front.output_shape, len(head.layers)
    ((None, 3), 3)
    """
    check_graph(model)
    cut, kernels = None, 0
    for piece in pieces(flatten(model)):
        if any(_changes(node) for node in piece):
            break
        kernels += sum(node.depth for node in piece)
        if "/" not in piece[-1].path:  # Not inside of another model.
            cut, before = piece[-1], kernels
    graph = functional(model)
    single = len(graph.inputs) == len(graph.outputs) == 1
    if not single or cut is None or not before or cut.is_output:
        raise ValueError(
            "`model` must be frozen up to a place that everything passes "
            "through, behind a layer with a kernel, and without dropout before "
            f"it. Received: model={model.name!r}"
        )
    front = keras.Model(graph.inputs, cut.output, name="front")
    head = keras.Model(cut.output, graph.outputs[0], name="head")
    return front, head


def _changes(node: Node) -> bool:
    """Return whether a call may give something else in the next step."""
    layer = node.operation
    if not isinstance(layer, keras.layers.Layer):
        return False
    if len(layer.variables) > len(layer.weights):  # It draws numbers.
        return True
    return any(
        part.trainable and part.weights for part in layer._flatten_layers()
    )
