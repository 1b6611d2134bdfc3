"""What the calls in a graph are: norms, activations, linear layers, paths."""

import keras

from keras_tricks._model_facts.activations import (
    ACTIVATION_LAYERS,
    ACTIVATION_NAMES,
    is_linear_activation,
)
from keras_tricks.layers.conv_norm import ConvNorm
from keras_tricks.surgery.graph import Node

NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)
LINEAR = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.Identity,
    keras.layers.Rescaling,
)
ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.PReLU,
    *ACTIVATION_LAYERS,
)
# Layers outside Keras that scale or drop a whole branch, by class name.
LINEAR_NAMES = ("StochasticDepth", "DropPath", "LayerScale")


def norm_of(operation):
    """Return the norm that a layer is or end in, else `None`."""
    if isinstance(operation, ConvNorm):
        linear = operation.activation is keras.activations.linear
        return operation.norm if linear else None
    return operation if isinstance(operation, NORMS) else None


def is_linear(node: Node) -> bool:
    """Return whether a node only scales, drops or passes on its one input."""
    operation = node.operation
    if len(node.parents) != 1:
        return False
    if (
        is_linear_activation(operation)
        or isinstance(operation, LINEAR)
        or node.kind in LINEAR_NAMES
    ):
        return True
    # A product with a constant; one of two tensors has two parents.
    return node.kind in ("Multiply", "TrueDivide") and not isinstance(
        operation, keras.layers.Layer
    )


def is_activation(node: Node) -> bool:
    """Return whether a node is a nonlinearity without a kernel."""
    if isinstance(node.operation, ACTIVATIONS):
        return True
    return is_function(node.operation)


def is_function(operation: keras.Operation) -> bool:
    """Return whether an operation is a call of an activation function."""
    layer = isinstance(operation, keras.layers.Layer)
    return not layer and type(operation).__name__.lower() in ACTIVATION_NAMES


def between(common: int, node: Node) -> list[Node]:
    """Return the nodes that `node` depends on outside `common`, and itself.

    Args:
        common: Bit set of the indices of nodes, with all their ancestors.
        node: The last node.

    Returns:
        The nodes in topological order.
    """
    found = {}
    queue = [node]
    while queue:
        node = queue.pop()
        if not common >> node.index & 1:
            found[node.index] = node
            queue += node.parents
    return [found[index] for index in sorted(found)]


def paths_into(addition: Node) -> tuple[list[list[Node]], list[int]]:
    """Follow the inputs of an addition back to where they parted.

    The shallowest path is the shortcut, a deeper one is a residual branch,
    which ends in the input of the addition.

    Args:
        addition: A node with several parents.

    Returns:
        For each parent the nodes of its path, in topological order, and its
        depth: the most weighted layers on a way through. No paths if the
        parents have no common origin.
    """
    common = -1
    for parent in addition.parents:
        common &= parent.ancestors
    if not common:
        return [], []
    paths = [between(common, parent) for parent in addition.parents]
    return paths, [_depth(path) for path in paths]


def _depth(path: list[Node]) -> int:
    depths: dict[int, int] = {}
    for node in path:
        before = [depths.get(parent.index, 0) for parent in node.parents]
        depths[node.index] = node.depth + max(before, default=0)
    return depths[path[-1].index] if path else 0
