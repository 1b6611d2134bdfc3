"""Stochastic depth for the residual branches of a network."""

import keras
import numpy as np

from keras_tricks._checks import check_real
from keras_tricks.layers.drop_path import DropPath
from keras_tricks.surgery.graph import Node, flatten
from keras_tricks.surgery.nodes import paths_into
from keras_tricks.surgery.rebuild import (
    Replacement,
    check_graph,
    from_config,
    rebuild,
)
from keras_tricks.surgery.report import SurgeryReport


def add_drop_path(
    model: keras.Model, rate: float
) -> tuple[keras.Model, SurgeryReport]:
    """Build a model again with stochastic depth in its residual branches.

    `y = x + branch(x)` becomes `y = x + keep / (1 - rate_l) * branch(x)` in
    training, with `keep ~ Bernoulli(1 - rate_l)` for each sample, and with
    `rate_l = rate * l / (L - 1)` for the branches `l = 0 ... L - 1` in the
    order of the graph, as `keras_tricks.models.ResNet` has it.

    Of the two inputs of an addition, followed back to where they parted, the
    one with more weighted layers is the branch. What drops paths there
    already, as in EfficientNet and ConvNeXt, is replaced.

    The model that is given stays as it is.

    Args:
        model: A functional or `Sequential` model.
        rate: That of the last branch, in (0, 1).

    Returns:
        A new model with a copy of the weights, not compiled, and a
        `SurgeryReport`: the ends of the branches, and the additions that are
        none of a shortcut and a branch.

    Raises:
        ValueError: For a model without a graph, or without residual branches.

    Example:
    >>> images = keras.Input((8, 8, 4))
    >>> x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(images)
    >>> model = keras.Model(images, keras.layers.Add()([images, x]))
    >>> model, report = add_drop_path(model, 0.2)
    >>> report.changed
    (('conv', 'never dropped', 'dropped at 0.2'),)

    Reference:
        - [Huang et al., 2016](https://arxiv.org/abs/1603.09382)
    """
    check_graph(model)
    rate = check_real("rate", rate, 0, 1, open_low=True, open_high=True)
    nodes = flatten(model)
    ends, skipped = [], []
    for node in nodes:
        if node.kind == "Add" and len(node.parents) > 1:
            end, reason = _branch_end(node, nodes)
            if end is None:
                skipped.append((node.path, reason))
            else:
                ends.append(end)
    if not ends:
        reasons = "".join(f"; {path}: {why}" for path, why in skipped[:1])
        raise ValueError(
            "`model` must have residual branches. "
            f"Received: model={model.name!r} with none{reasons}"
        )
    rates = np.linspace(0, rate, len(ends)) if len(ends) > 1 else [rate]
    replacements, changed = {}, []
    for end, one in zip(ends, map(float, rates), strict=True):
        replacements[id(end.operation)] = _replacement(end.operation, one)
        old = "dropped" if _drops_paths(end.operation) else "never dropped"
        changed.append((end.path, old, f"dropped at {one:.3g}"))
    result, notes = rebuild(model, replacements)
    report = SurgeryReport(
        "added stochastic depth",
        tuple(changed),
        skipped=tuple(skipped),
        notes=notes,
    )
    return result, report


def _branch_end(addition: Node, nodes: list[Node]) -> tuple[Node | None, str]:
    """Return the last node of an addition's branch, or why there is none."""
    paths, depths = paths_into(addition)
    if not paths:
        return None, "its inputs have no common origin"
    if len(paths) != 2 or depths[0] == depths[1]:
        return None, "it does not add one branch to a shortcut"
    end = addition.parents[depths[1] > depths[0]]
    calls = sum(node.operation is end.operation for node in nodes)
    if end.consumers > 1 or calls > 1:
        return None, f"the output of {end.path!r} is used elsewhere too"
    return end, ""


def _drops_paths(operation) -> bool:
    """Return whether a layer drops a whole branch for some samples."""
    if isinstance(operation, keras.layers.Dropout):
        noise = operation.noise_shape or ()
        return len(noise) > 1 and set(noise[1:]) == {1}
    return type(operation).__name__ in ("StochasticDepth", "DropPath")


def _replacement(operation, rate):
    """Return what takes the place of the end of a branch."""
    is_layer = isinstance(operation, keras.layers.Layer)
    dtype = operation.dtype_policy if is_layer else None
    if _drops_paths(operation):
        return Replacement([DropPath(rate, dtype=dtype, name=operation.name)])
    copy = from_config(operation)
    drop = DropPath(rate, dtype=dtype, name=f"{operation.name}_drop_path")
    return Replacement([copy, drop], copy if is_layer else None)
