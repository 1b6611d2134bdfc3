"""The residual blocks of a ResNet of version 1, found in a graph."""

import dataclasses

import keras

from keras_tricks.layers.conv_norm import ConvNorm
from keras_tricks.surgery.graph import Node
from keras_tricks.surgery.nodes import (
    NORMS,
    is_activation,
    is_linear,
    paths_into,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One residual block.

    Attributes:
        addition: Where its two paths meet.
        shortcut: The nodes of the shortcut alone, in topological order.
        branch: Those of the residual branch.
    """

    addition: Node
    shortcut: list[Node]
    branch: list[Node]


def refuse(must: str, received: str):
    """Raise the error for a model that surgery cannot change."""
    raise ValueError(f"`model` must {must}. Received: {received}")


def find_blocks(nodes: list[Node]) -> list[Block]:
    """Return the residual blocks of a graph.

    Raises:
        ValueError: If an addition is not that of a ResNet of version 1: of
            two paths of different length, and followed by an activation.
    """
    blocks = []
    for node in nodes:
        if node.kind != "Add" or len(node.parents) < 2:
            continue
        paths, depths = paths_into(node)
        if not any(paths):
            continue
        if len(paths) != 2 or depths[0] == depths[1]:
            refuse(
                "add a shortcut to one longer branch in each residual block",
                f"addition={node.path!r} of paths with {depths} kernels",
            )
        if not _feeds_an_activation(node):
            refuse(
                "be a ResNet of version 1, where only an activation follows "
                "an addition (pre-activation and linear bottlenecks are not)",
                f"addition={node.path!r}, followed by "
                f"{[child.path for child in node.children]}",
            )
        first = depths[0] > depths[1]
        blocks.append(Block(node, paths[first], paths[not first]))
    return blocks


def _feeds_an_activation(node: Node) -> bool:
    """Return whether all that takes a node's output is one activation."""
    while node.consumers == 1 and node.children:
        node = node.children[0]
        if not is_linear(node):
            return is_activation(node)
    return False


def convolution(node: Node) -> keras.layers.Conv2D | None:
    """Return the 2D convolution that a layer is or has, else `None`."""
    layer = node.operation
    if isinstance(layer, ConvNorm):
        layer = layer.conv
    return layer if isinstance(layer, keras.layers.Conv2D) else None


def describe(conv: keras.layers.Conv2D) -> str:
    """Return a convolution in words, such as 3x3 of stride 2."""
    height, width = conv.kernel_size
    return f"{height}x{width} of stride {conv.strides[0]}"


def is_square(conv: keras.layers.Conv2D, sizes) -> bool:
    """Say whether a convolution is an ordinary one with a square kernel."""
    height, width = conv.kernel_size
    return (
        height == width
        and height in sizes
        and conv.strides[0] == conv.strides[1]
        and tuple(conv.dilation_rate) == (1, 1)
    )


def explicit_padding(node: Node) -> Node | None:
    """Return the layer that pads a convolution as `"same"` would.

    It pads half the kernel on every side, for this convolution alone.
    """
    pad = node.parents[0]
    half = convolution(node).kernel_size[0] // 2
    if isinstance(pad.operation, keras.layers.ZeroPadding2D):
        symmetric = pad.operation.padding == ((half, half), (half, half))
        return pad if symmetric and pad.consumers == 1 else None
    return None


def next_convolution(node: Node) -> Node:
    """Follow a branch from one convolution to the next.

    Raises:
        ValueError: If anything but a norm, an activation, padding or a linear
            layer is between, or if the branch forks.
    """
    start = node
    while True:
        child = node.children[0] if node.consumers == 1 else None
        if child is None or len(child.parents) != 1:
            refuse(
                "have branches that do not fork after their first convolution",
                f"layer={node.path!r}",
            )
        if convolution(child):
            return child
        between_convolutions = isinstance(
            child.operation, (*NORMS, keras.layers.ZeroPadding2D)
        )
        if not (
            between_convolutions or is_activation(child) or is_linear(child)
        ):
            refuse(
                "have only norms, activations and padding between two "
                "convolutions of a branch",
                f"{child.kind} {child.path!r} after {start.path!r}",
            )
        node = child
