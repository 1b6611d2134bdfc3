"""The edits that turn a ResNet of version 1 into variant B, C or D."""

import collections

import keras

from keras_tricks.layers.conv_norm import VARIANTS, ConvNorm
from keras_tricks.layers.residual import BasicBlock, BottleneckBlock
from keras_tricks.layers.shortcut import Shortcut
from keras_tricks.layers.stem import Stem
from keras_tricks.surgery.blocks import (
    Block,
    convolution,
    describe,
    explicit_padding,
    is_square,
    next_convolution,
    refuse,
)
from keras_tricks.surgery.graph import Node
from keras_tricks.surgery.nodes import NORMS, is_activation, is_linear
from keras_tricks.surgery.rebuild import Replacement, from_config

OURS = (BasicBlock, BottleneckBlock, Shortcut, Stem)


class Plan:
    """What to replace in a graph, collected before anything is built."""

    def __init__(self):
        self.replacements = {}
        self._changes = {}
        self._ours = []
        self._fresh = {}
        self._calls = collections.Counter()

    def replace(self, node: Node, layers, heir=None, change=None, fresh=()):
        """Plan layers in place of a node.

        Args:
            node: The node.
            layers: The layers, called one after the other.
            heir: The one that gets the weights.
            change: What to report: the old form and the new one.
            fresh: Those of the layers whose weights start anew.
        """
        self.replacements[id(node.operation)] = Replacement(layers, heir)
        self._calls[id(node.operation)] += 1
        if change:
            self._changes[node.path] = change
        prefix = node.path.removesuffix(node.operation.name)
        for layer in fresh:
            self._fresh[prefix + layer.name] = layer

    def replace_ours(self, node: Node, layer, fresh: bool):
        """Plan a layer of `keras_tricks` in place of one."""
        self.replace(node, [layer], None if fresh else layer)
        self._ours.append((node, layer, fresh))

    def check_calls(self, nodes: list[Node]):
        """Refuse a layer that is called where it is not to be replaced."""
        calls = collections.Counter(id(node.operation) for node in nodes)
        for node in nodes:
            planned = self._calls[id(node.operation)]
            if planned and planned < calls[id(node.operation)]:
                refuse(
                    "not call a layer that changes anywhere else",
                    f"layer={node.path!r} with "
                    f"{calls[id(node.operation)]} calls",
                )

    def outcome(self) -> tuple[tuple, tuple]:
        """Return what changed and what is fresh, after the model is built."""
        for node, layer, fresh in self._ours:
            if _geometry(node.operation) != _geometry(layer):
                self._changes[node.path] = (
                    f"variant {node.operation.variant}",
                    f"variant {layer.variant}",
                )
                if fresh:
                    self._fresh[node.path] = layer
        changed = tuple((path, *c) for path, c in self._changes.items())
        fresh = (path for path, layer in self._fresh.items() if layer.weights)
        return changed, tuple(fresh)


def _geometry(layer):
    """Return kernels and strides of the convolutions and pools in a layer."""
    kinds = (keras.layers.Conv2D, keras.layers.AveragePooling2D)
    return sorted(
        (
            type(part).__name__,
            getattr(part, "kernel_size", None) or part.pool_size,
            part.strides,
        )
        for part in layer._flatten_layers()
        if isinstance(part, kinds)
    )


def move_strides(block: Block, plan: Plan):
    """Move the strides of a branch from its first 1x1 to its 3x3."""
    first = next((node for node in block.branch if node.depth), None)
    conv = first and convolution(first)
    if not conv or conv.kernel_size != (1, 1) or conv.strides == (1, 1):
        return
    second = next_convolution(first)
    target = convolution(second)
    strides = conv.strides[0]
    if (
        not (is_square(conv, (1,)) and is_square(target, (3, 5, 7)))
        or target.strides != (1, 1)
        or (target.padding == "valid" and explicit_padding(second) is None)
    ):
        refuse(
            "have a square convolution of stride 1, padded by half its "
            "kernel, after the strided 1x1 of a branch",
            f"{describe(target)} {second.path!r}",
        )
    layers = _with_strides(first, 1)
    new = describe(conv).replace(f"stride {strides}", "stride 1")
    plan.replace(first, layers, layers[-1], (describe(conv), new))
    layers = _with_strides(second, strides)
    new = describe(target).replace("stride 1", f"stride {strides}")
    plan.replace(second, layers, layers[-1], (describe(target), new))


def _with_strides(node: Node, strides: int) -> list[keras.layers.Layer]:
    """Return a convolution with other strides, and padding if it needs it.

    `"same"` pads a strided convolution on one side only.
    """
    operation = node.operation
    if isinstance(operation, ConvNorm):
        return [from_config(operation, strides=strides)]
    half = operation.kernel_size[0] // 2
    if strides == 1 or half == 0 or operation.padding == "valid":
        return [from_config(operation, strides=(strides, strides))]
    conv = from_config(operation, strides=(strides, strides), padding="valid")
    return [_zero_padding(operation, half), conv]


def _zero_padding(conv, half):
    return keras.layers.ZeroPadding2D(
        half,
        data_format=conv.data_format,
        dtype=conv.dtype_policy,
        name=f"{conv.name}_pad",
    )


def pool_shortcut(block: Block, plan: Plan):
    """Put an average pool in front of a strided shortcut's 1x1."""
    strided = []
    for node in block.shortcut:
        conv = convolution(node)
        pooled = isinstance(node.operation, keras.layers.AveragePooling2D)
        known = conv or pooled or isinstance(node.operation, NORMS)
        if not (known or is_activation(node) or is_linear(node)):
            refuse(
                "have shortcuts of a 1x1 convolution",
                f"{node.kind} {node.path!r} in the shortcut of "
                f"{block.addition.path!r}",
            )
        if conv and conv.strides != (1, 1):
            strided.append(node)
    if not strided:
        return
    node, conv = strided[0], convolution(strided[0])
    if len(strided) > 1 or not is_square(conv, (1,)) or conv.strides[0] != 2:
        refuse(
            "have strided shortcuts of one 1x1 convolution of stride 2",
            f"{describe(conv)} {node.path!r}",
        )
    pool = keras.layers.AveragePooling2D(
        2,
        # Padded at the far end only, and not counted: ceil mode.
        padding="same",
        data_format=conv.data_format,
        dtype=conv.dtype_policy,
        name=f"{node.operation.name}_pool",
    )
    layers = [pool, *_with_strides(node, 1)]
    change = (describe(conv), "2x2 average pool, 1x1 of stride 1")
    plan.replace(node, layers, layers[-1], change)


def deepen_stem(nodes: list[Node], plan: Plan):
    """Replace the one convolution of the stem by three 3x3."""
    first = next(node for node in nodes if node.depth)
    if isinstance(first.operation, (Stem, BasicBlock, BottleneckBlock)):
        return
    conv = convolution(first)
    if conv is None or not is_square(conv, (3, 7)) or conv.groups > 1:
        refuse(
            "start with a 7x7 or 3x3 convolution (keep_stem=True leaves the "
            "stem as it is)",
            f"{first.kind} {first.path!r}",
        )
    norm, activation = _after_stem(first)
    following = (activation or first).children
    if conv.kernel_size == (3, 3) and len(following) == 1:
        if convolution(following[0]):
            return  # It has three convolutions, or at least two.
    if conv.filters % 2:
        refuse(
            "have a stem with an even number of filters",
            f"layer={first.path!r} with {conv.filters}",
        )
    change = (describe(conv), f"3x3 of stride {conv.strides[0]}, 3x3, 3x3")
    if norm is None:
        layers = [
            from_config(
                first.operation,
                filters=conv.filters // (1 if index == 3 else 2),
                kernel_size=3,
                strides=conv.strides[0] if index == 1 else 1,
                trainable=True,
                name=f"{first.operation.name}_deep{index}",
            )
            for index in (1, 2, 3)
        ]
        plan.replace(first, layers, change=change, fresh=layers)
        return
    layers = _deep_stem(first, norm, activation, plan)
    fresh = [layer for layer in layers if layer.name.endswith(DEEP)]
    plan.replace(first, layers, change=change, fresh=fresh)
    last = from_config(norm.operation, trainable=True)
    plan.replace(norm, [last], fresh=[last])


def _after_stem(first: Node) -> tuple[Node | None, Node | None]:
    """Return the norm and the activation after the stem's convolution."""
    if isinstance(first.operation, ConvNorm):
        return None, None
    norm = first.children[0]
    activation = norm.children[0] if norm.children else None
    if (
        first.consumers > 1
        or norm.consumers > 1
        or not isinstance(norm.operation, NORMS)
        or activation is None
        or not is_activation(activation)
    ):
        refuse(
            "have a norm and an activation after its first convolution "
            "(keep_stem=True leaves the stem as it is)",
            f"layer={first.path!r}, followed by {norm.path!r}",
        )
    return norm, activation


DEEP = ("_deep1", "_deep2", "_deep3")


def _deep_stem(first, norm, activation, plan):
    """Return the layers in place of a stem's convolution."""
    conv = first.operation
    padding, layers = conv.padding, []
    if padding == "valid":
        pad = explicit_padding(first)
        if pad is None:
            refuse(
                "pad its stem by half the kernel on every side "
                "(keep_stem=True leaves the stem as it is)",
                f"layer={first.path!r} without such padding",
            )
        plan.replace(pad, [from_config(pad.operation, padding=1)])
    elif conv.strides[0] > 1:
        padding = "valid"
        layers.append(_zero_padding(conv, 1))
    for suffix in DEEP:
        is_first, is_last = suffix == DEEP[0], suffix == DEEP[-1]
        layers.append(
            from_config(
                conv,
                filters=conv.filters // (1 if is_last else 2),
                kernel_size=(3, 3),
                strides=conv.strides if is_first else (1, 1),
                padding=padding if is_first else "same",
                trainable=True,
                name=conv.name + suffix,
            )
        )
        if not is_last:
            layers += [
                from_config(
                    norm.operation,
                    trainable=True,
                    name=norm.operation.name + suffix,
                ),
                from_config(
                    activation.operation,
                    name=activation.operation.name + suffix,
                ),
            ]
    return layers


def set_variant(node: Node, variant: str, plan: Plan):
    """Make a layer of `keras_tricks` one of this variant."""
    layer = node.operation
    if VARIANTS.index(layer.variant) < VARIANTS.index(variant):
        new = from_config(layer, variant=variant)
        was_deep, is_deep = layer.variant in "CD", variant in "CD"
        fresh = isinstance(layer, Stem) and was_deep != is_deep
        plan.replace_ours(node, new, fresh)
