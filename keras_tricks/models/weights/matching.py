"""Each tensor of a file to its variable."""

import dataclasses

import keras
import numpy as np

from keras_tricks.models.weights._layout import Layout, rearrange, reverse
from keras_tricks.models.weights._problems import Problems
from keras_tricks.models.weights._units import NORM_PARTS, Network, Unit
from keras_tricks.models.weights.layouts import LAYOUTS


@dataclasses.dataclass
class Match:
    """Values for the variables of a model, and how they were made.

    Attributes:
        values: Pairs of a variable and its value.
        used: Names of the tensors that are in them.
        kept: Paths of the variables that get no value.
        dropped: Names of the tensors that are known and not needed.
        folded_biases: Number of biases that were folded into norms.
        folded_norms: Number of norms that the file has folded into kernels.
        converted: Types of the tensors other than float32.
    """

    values: list[tuple[keras.Variable, np.ndarray]]
    used: list[str]
    kept: list[str]
    dropped: list[str]
    folded_biases: int
    folded_norms: int
    converted: list[str]


def tensor_names(layout: Layout, unit: Unit) -> dict[str, tuple[str, str]]:
    """Return the names and axes of one layer's tensors in a layout.

    Returns:
        By what the tensor is. A convolution may have a `"bias"` there that it
        does not have here. Empty if the layout does not know the layer.
    """
    if unit.is_head:
        kernel, bias, axes = layout.head
        return {"kernel": (kernel, axes), "bias": (bias, "o->o")}
    pair = layout.names(unit.path, unit.fields)
    if pair is None:
        return {}
    conv, norm = pair
    naming = layout.naming
    axes = naming.depthwise if unit.layer.depthwise else naming.conv
    names = {
        "kernel": (conv + naming.kernel, axes),
        "bias": (conv + naming.bias, "o->o"),
    }
    for part in NORM_PARTS:
        names[part] = (norm + getattr(naming, part), "o->o")
    return names


def find_layout(network: Network, tensors, name: str | None) -> Layout:
    """Return the layout that has most names in common with a file.

    Args:
        network: The model.
        tensors: Names of the tensors.
        name: Name of the layout, or None for any.

    Raises:
        ValueError: If there is no such layout for the model.
    """
    layouts = [x for x in LAYOUTS if x.family == network.family]
    names = tuple(dict.fromkeys(layout.name for layout in layouts))
    if name is not None and name not in names:
        raise ValueError(
            f"`layout` must be None or, for this model, one of "
            f"{', '.join(map(repr, names))}. Received: layout={name!r}"
        )

    def common(layout):
        return sum(
            name in tensors
            for unit in network.units
            for name, _ in tensor_names(layout, unit).values()
        )

    return max(
        (layout for layout in layouts if name in (None, layout.name)),
        key=common,
    )


def find_differences(network: Network, layout: Layout) -> tuple[str, ...]:
    """Return what a model computes otherwise than the layout's networks."""
    traits = network.traits
    wanted = {
        "activation": layout.activation,
        "padding": layout.padding,
        "strides": layout.strides,
    }
    if layout.variants and traits["variant"] not in layout.variants:
        wanted["variant"] = layout.variants
    return tuple(
        f"{trait} {value!r} for the model's {traits[trait]!r}"
        for trait, value in wanted.items()
        if traits[trait] != value
    )


def match(
    network: Network, layout: Layout, tensors, origin: str, skip_head: bool
) -> Match:
    """Find a value for every variable and a use for every tensor.

    Args:
        network: The model.
        layout: The layout of the tensors.
        tensors: Arrays by name.
        origin: Where they come from, for the message.
        skip_head: Whether the head is left out, in the file and the model.

    Raises:
        ValueError: If a tensor is missing or too many, or has another shape,
            or not only finite floats.
    """
    problems = Problems()
    dropped = [name for name in tensors if layout.drops(name)]
    units = network.units
    kept = []
    if skip_head:
        dropped += [name for name in layout.head[:2] if name in tensors]
        kept += [v.path for u in units if u.is_head for v in u.weights]
        kept += [weight.path for weight in network.others]
        units = [unit for unit in units if not unit.is_head]
    else:
        problems.foreign = [weight.path for weight in network.others]
    taken = {
        unit: _take(unit, layout, tensors, problems, unit is units[0])
        for unit in units
    }
    used = [name for names in taken.values() for name, _ in names.values()]
    problems.unknown = sorted(set(tensors) - set(used) - set(dropped))
    folded = _find_missing(taken, layout, problems)
    problems.check(origin, layout, find_differences(network, layout))
    values = [
        pair
        for unit, parts in taken.items()
        for pair in _fill(unit, parts, layout.epsilon)
    ]
    convs = [parts for unit, parts in taken.items() if not unit.is_head]
    return Match(
        values,
        used,
        kept,
        dropped,
        folded_biases=0 if folded else sum("bias" in c for c in convs),
        folded_norms=len(convs) if folded else 0,
        converted=sorted(
            {tensors[name].dtype.name for name in used} - {"float32"}
        ),
    )


def _take(unit, layout, tensors, problems, first):
    """Return names and values, in our axes, of a layer's tensors."""
    taken = {}
    for part, (name, axes) in tensor_names(layout, unit).items():
        if name not in tensors:
            continue
        tensor = tensors[name]
        taken[part] = name, None
        shape = rearrange(np.empty(unit.shape(part), bool), axes).shape
        if tensor.shape != shape:
            theirs = axes.split("->")[1]
            classes = theirs.index("o") if unit.is_head else None
            channels = theirs.index("i") if first and "i" in theirs else None
            if _differ_at(tensor.shape, shape, classes):
                problems.classes = tensor.shape[classes], shape[classes]
            else:
                if _differ_at(tensor.shape, shape, channels):
                    problems.channels = tensor.shape[channels], shape[channels]
                problems.shapes.append(f"{name} {tensor.shape} for {shape}")
            continue
        value = _as_floats(tensor)
        if value is None:
            problems.values.append(f"{name} ({tensor.dtype.name})")
            continue
        taken[part] = name, rearrange(value, reverse(axes))
    return taken


def _differ_at(one, other, axis) -> bool:
    """Return whether two shapes differ along one axis only."""
    if axis is None or len(one) != len(other):
        return False
    return one[:axis] == other[:axis] and one[axis + 1 :] == other[axis + 1 :]


def _as_floats(tensor):
    """Return finite float64, or float32 of kernels, or None."""
    if tensor.dtype.kind != "f" and tensor.dtype.name != "bfloat16":
        return None
    value = tensor.astype("float64" if tensor.ndim == 1 else "float32")
    return value if np.isfinite(value).all() else None


def _find_missing(taken, layout, problems) -> bool:
    """List what is missing; return whether all norms are folded.

    They are if every convolution has a bias and none a norm.
    """
    convs = [set(parts) for unit, parts in taken.items() if not unit.is_head]
    folded = all(parts == {"kernel", "bias"} for parts in convs)
    for unit, parts in taken.items():
        names = tensor_names(layout, unit)
        if not names:
            problems.missing.append(f"all of {unit.path}")
            continue
        wanted = set(unit.variables)
        if folded and not unit.is_head:
            wanted = {"kernel", "bias"}
        problems.missing += [
            name
            for part, (name, _) in names.items()
            if part in wanted - set(parts)
        ]
    return folded


def _fill(unit, taken, epsilon):
    """Return pairs of a layer's variables and their values.

    A bias before a norm moves its mean; another epsilon is made up for in the
    variance; a norm that is folded becomes one that only adds.
    """
    values = {part: value for part, (_, value) in taken.items()}
    if not unit.is_head:
        ours = unit.layer.norm.epsilon
        bias = values.pop("bias", 0.0)
        if "gamma" in values:
            values["moving_mean"] = values["moving_mean"] - bias
            values["moving_variance"] = values["moving_variance"] + (
                epsilon - ours
            )
        else:
            values["gamma"] = np.ones_like(bias)
            values["beta"] = bias
            values["moving_mean"] = np.zeros_like(bias)
            values["moving_variance"] = np.full_like(bias, 1 - ours)
    return [(variable, values[p]) for p, variable in unit.variables.items()]
