import dataclasses

import keras
from keras import ops

from keras_tricks.layers.conv_norm import ConvNorm
from keras_tricks.surgery.graph import Node, check_built, flatten
from keras_tricks.surgery.nodes import (
    is_activation,
    is_linear,
    norm_of,
    paths_into,
)


@dataclasses.dataclass(frozen=True)
class ZeroGammaReport:
    """What `zero_gamma` did to a model.

    Attributes:
        zeroed: Paths of the norms whose gamma is now 0.
        skipped: Pairs: path of an addition, reason why none of its branches
            has such a norm.

    Example:
    >>> report = ZeroGammaReport(zeroed=("block/bn2/gamma",))
    >>> len(report), "block/bn2/gamma" in report
    (1, True)
    """

    zeroed: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self):
        return len(self.zeroed)

    def __iter__(self):
        return iter(self.zeroed)

    def __str__(self):
        lines = [f"zeroed the gamma of {len(self.zeroed)} norms:"]
        lines += [f"  {path}" for path in self.zeroed]
        if self.skipped:
            lines.append(f"left {len(self.skipped)} additions as they are:")
            lines += [f"  {path}: {why}" for path, why in self.skipped]
        return "\n".join(lines)


def zero_gamma(model: keras.Model) -> ZeroGammaReport:
    """Silence every residual branch of a model that has just been built.

    `gamma = 0` for the norm that ends a residual branch, so that each block
    starts as its shortcut: `y = x + gamma * normalize(branch(x)) + beta = x`.

    The graph decides. Of the inputs of each addition, followed back to where
    they parted, the one with the fewest weighted layers is the shortcut, and
    the others are residual branches. A branch qualifies when it ends in a
    batch, group or layer norm; dropout, stochastic depth, rescaling and
    identities may follow it. Functional and `Sequential` models inside the
    model are entered, and the residual blocks of `keras_tricks` are known.
    Composite layers of other kinds are closed: their inside has no graph.

    Gamma is assigned in place, so call this before training, and not on
    trained weights.

    Args:
        model: A functional or `Sequential` model, or any built model made of
            `keras_tricks` blocks.

    Returns:
        A `ZeroGammaReport`: the norms touched, and the additions left alone
        with the reason. `print` shows it.

    Raises:
        ValueError: When a residual branch ends in a norm followed by an
            activation (with gamma and beta 0, a ReLU would block the gradient
            for ever), when such a norm has no gamma, when no residual branch
            ends in a norm at all, or when the model is not built. Nothing is
            changed then.

    Example:
    >>> inputs = keras.Input((8, 8, 4))
    >>> x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    >>> x = keras.layers.BatchNormalization(name="last_norm")(x)
    >>> outputs = keras.layers.ReLU()(keras.layers.Add()([inputs, x]))
    >>> print(zero_gamma(keras.Model(inputs, outputs)))
    zeroed the gamma of 1 norms:
      last_norm

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1
    """
    check_built(model)
    norms = {
        id(layer.residual_norm): layer.residual_norm
        for layer in model._flatten_layers()
        if hasattr(layer, "residual_norm")
    }
    paths = {key: norm.path for key, norm in norms.items()}
    nodes = flatten(model)
    ends, skipped = [], []
    for node in nodes:
        if node.kind == "Add" and len(node.parents) > 1:
            found, reason = _branch_ends(node)
            ends += found
            if not found:
                skipped.append((node.path, reason))
    for end in ends:
        calls = sum(node.operation is end.operation for node in nodes)
        if calls > sum(other.operation is end.operation for other in ends):
            skipped.append((end.path, "the norm is called elsewhere too"))
            continue
        norm = norm_of(end.operation)
        norms[id(norm)] = norm
        paths[id(norm)] = end.path
    _check(model, norms, skipped)
    for norm in norms.values():
        norm.gamma.assign(ops.zeros(norm.gamma.shape))
    return ZeroGammaReport(tuple(paths.values()), tuple(skipped))


def _branch_ends(addition: Node) -> tuple[list[Node], str]:
    """Return the norms that end the addition's residual branches.

    Returns:
        The nodes of the norms, and where there is none the reason.
    """
    paths, depths = paths_into(addition)
    if not paths:
        return [], "its inputs have no common origin"
    branches = [
        parent
        for parent, depth in zip(addition.parents, depths, strict=True)
        if depth > min(depths)
    ]
    if not branches:
        return [], "its branches are equally long: none is the shortcut"
    ends, reason = [], ""
    for branch in branches:
        end, why = _branch_end(branch)
        if end is None:
            reason = why
        else:
            ends.append(end)
    return ends, reason


def _branch_end(node: Node) -> tuple[Node | None, str]:
    """Follow a branch back from the addition to the norm that ends it."""
    activation = None
    alone = True
    while is_linear(node) or is_activation(node):
        if not is_linear(node):
            activation = node
        alone = alone and node.consumers == 1
        node = node.parents[0]
    if isinstance(node.operation, ConvNorm) and norm_of(node.operation) is None:
        activation = node
    elif norm_of(node.operation) is None:
        return None, f"its branch ends in {node.kind} {node.path!r}"
    if activation is not None:
        raise ValueError(
            "`model` must have no activation between a norm and an addition: "
            "with gamma and beta 0 a ReLU would pass no gradient. Received: "
            f"norm={node.path!r}, activation={activation.path!r}"
        )
    if not (alone and node.consumers == 1):
        return None, f"the output of {node.path!r} is used elsewhere too"
    return node, ""


def _check(model, norms, skipped):
    """Refuse an empty match and norms without gamma."""
    for norm in norms.values():
        if getattr(norm, "gamma", None) is None:
            raise ValueError(
                "`model` must have norms with scale=True where its residual "
                f"branches end. Received: norm={norm.name!r} without gamma"
            )
    if norms:
        return
    detail = (
        f"{len(skipped)} additions, the first {skipped[0][0]!r}: "
        f"{skipped[0][1]}"
        if skipped
        else "a graph without residual additions"
    )
    raise ValueError(
        "`model` must have residual branches that end in a norm "
        "(pre-activation networks have none). "
        f"Received: model={model.name!r} with {detail}"
    )
