"""The parts of a network in the order of its depth: stem, blocks, head."""

import dataclasses
import math
import re

import keras

from keras_tricks.surgery.graph import Node, flatten
from keras_tricks.surgery.rebuild import check_graph


@dataclasses.dataclass(frozen=True)
class LayerGroup:
    """A part of a network that trains or is frozen as one.

    Attributes:
        name: `"stem"`, `"head"`, or what the names of the layers begin with.
        layers: The layers that have weights.

    Example:
    >>> dense = keras.layers.Dense(3)
    >>> dense.build((None, 4))
    >>> LayerGroup("head", (dense,)).size
    15
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of all layers, batch statistics included."""
        return [weight for layer in self.layers for weight in layer.weights]

    @property
    def size(self) -> int:
        """How many values the weights have."""
        return sum(math.prod(weight.shape) for weight in self.weights)


def find_groups(model: keras.Model) -> tuple[LayerGroup, ...]:
    """Find stem, blocks and head of a network in its graph.

    A block is what is between two places that everything passes through: a
    residual block with its shortcut, an Inception block, or one convolution.
    Norms and other layers without a kernel belong to the kernel before them.
    The first block is the `"stem"`, the last the `"head"`: the last layer with
    a kernel, and what follows it. The others have the name that their layers
    begin with, such as `"stage1_block1"`, or else `"block7"` by their place.

    Args:
        model: A functional or `Sequential` model; models inside are entered.

    Returns:
        The groups in the order of depth. Each layer with weights is in one.

    Raises:
        ValueError: For a model without a graph, or without a kernel.

    Example:
    >>> from keras_tricks.models import ResNet
    >>> model = ResNet(18, num_classes=3, width=4, input_shape=(32, 32, 3))
    >>> [group.name for group in find_groups(model)][:3]
    ['stem', 'stage1_block1', 'stage1_block2']
    >>> find_groups(model)[-1].name, find_groups(model)[-1].size
    ('head', 99)
    """
    check_graph(model)
    groups: list[list[Node]] = []
    has_kernel = True
    for piece in pieces(flatten(model)):
        kernel = any(node.depth for node in piece)
        if not groups or (kernel and has_kernel):
            groups.append([])
            has_kernel = False
        groups[-1] += piece
        has_kernel = has_kernel or kernel
    if not has_kernel:
        raise ValueError(
            "`model` must have a layer with a kernel. "
            f"Received: model={model.name!r}"
        )
    seen: set[int] = set()
    return tuple(
        LayerGroup(name, tuple(_weighted(nodes, seen)))
        for name, nodes in zip(_names(groups), groups, strict=True)
    )


def pieces(nodes: list[Node]):
    """Yield the nodes up to each place that everything passes through."""
    piece, furthest = [], -1
    for node in nodes:
        piece.append(node)
        if furthest <= node.index:  # Nothing goes around this node.
            yield piece
            piece = []
        reached = [child.index for child in node.children]
        furthest = max([furthest, *reached])
    if piece:
        yield piece


def _weighted(nodes, seen):
    """Yield the layers of calls that have weights, once each."""
    for node in nodes:
        layer = node.operation
        if getattr(layer, "weights", None) and id(layer) not in seen:
            seen.add(id(layer))
            yield layer


def _names(groups: list[list[Node]]) -> list[str]:
    """Name groups by what the paths of their kernels begin with."""
    last = len(groups) - 1
    names: list[str] = []
    for index, nodes in enumerate(groups):
        name = _beginning([node.path for node in nodes if node.depth])
        if index == last:
            name = "head"
        elif index == 0:
            name = "stem"
        elif not name or name in (*names, "head"):
            name = f"block{index}"
        names.append(name)
    return names


def _beginning(paths):
    """Return the words that all paths begin with, as `conv2_block1`."""
    words = [re.findall(r"[_/]?[^_/]+", path) for path in paths]
    common = []
    for those in zip(*words, strict=False):
        if len(set(those)) > 1:
            break
        common.append(those[0])
    return "".join(common)
