"""The layers of our networks that have weights."""

import dataclasses
import re

import keras

from keras_tricks.layers.conv_norm import ConvNorm
from keras_tricks.layers.residual import BasicBlock
from keras_tricks.layers.stem import Stem

# A layer that only this family has.
FAMILIES = {
    "resnet": "stage1_block1/conv1",
    "inception_v3": "conv2d_1a_3x3",
    "mobilenet": "stage1_block1/depthwise",
}
HEAD = "logits"
NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclasses.dataclass(eq=False)
class Unit:
    """A `ConvNorm`, or the dense layer that gives the logits.

    Attributes:
        path: Where it is in the model.
        layer: The layer itself.
        variables: Its variables by what they are: `"kernel"`, `"bias"`,
            `"gamma"`, `"beta"`, `"moving_mean"`, `"moving_variance"`.
        fields: `number` and `letters` of the block that it is in.
    """

    path: str
    layer: keras.layers.Layer
    variables: dict[str, keras.Variable]
    fields: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_head(self) -> bool:
        """Whether it is the dense layer."""
        return self.path == HEAD

    @property
    def weights(self) -> tuple[keras.Variable, ...]:
        """Its variables."""
        return tuple(self.variables.values())

    def shape(self, part: str) -> tuple[int, ...]:
        """Return the shape of a variable, or of the bias that it could have."""
        return tuple(self.variables.get(part, self.weights[-1]).shape)


@dataclasses.dataclass(frozen=True)
class Network:
    """What a model is, as far as its weights are concerned.

    Attributes:
        family: A key of `FAMILIES`.
        units: Its layers with weights, in their order.
        others: Weights that are in none of them: of layers of the user's.
        traits: What tells networks apart that have weights of the same shapes:
            `variant`, `activation`, `padding` and `strides` of the stem.
    """

    family: str
    units: tuple[Unit, ...]
    others: tuple[keras.Variable, ...]
    traits: dict[str, str]


def find_network(model: keras.Model) -> Network:
    """Look at a model of ours.

    Raises:
        ValueError: If it is none.
    """
    found: dict[str, Unit] = {}
    if isinstance(model, keras.Model) and model.built:
        for layer in model._flatten_layers():
            unit = _unit(layer)
            if unit is not None:
                found.setdefault(unit.path, unit)
    family = next((f for f, path in FAMILIES.items() if path in found), None)
    if family is None:
        raise ValueError(
            "`model` must be a ResNet, InceptionV3 or MobileNet of "
            "keras_tricks, with or without its head. "
            f"Received: model={model!r}"
        )
    order = {id(weight): i for i, weight in enumerate(model.weights)}
    units = tuple(sorted(found.values(), key=lambda u: order[id(u.weights[0])]))
    _number_blocks(units)
    known = {id(v) for unit in units for v in unit.weights}
    others = tuple(w for w in model.weights if id(w) not in known)
    return Network(family, units, others, _traits(model, units))


def _unit(layer):
    if isinstance(layer, ConvNorm) and layer.built:
        variables = {"kernel": layer.conv.kernel}
        for part in NORM_PARTS:
            variables[part] = getattr(layer.norm, part)
        path = layer.conv.kernel.path.removesuffix("/conv/kernel")
        return Unit(path, layer, variables)
    if isinstance(layer, keras.layers.Dense) and layer.name == HEAD:
        return Unit(HEAD, layer, {"kernel": layer.kernel, "bias": layer.bias})
    return None


def _number_blocks(units):
    """Fill the fields: all blocks in a row, and each stage in letters.

    Long stages are lettered as Caffe's networks are: a, b1, b2 ...
    """
    places = [
        tuple(map(int, match.groups())) if match else None
        for match in (
            re.match(r"stage(\d)_block(\d+)/", unit.path) for unit in units
        )
    ]
    blocks = sorted(set(places) - {None})
    for unit, place in zip(units, places, strict=True):
        if place is None:
            continue
        stage, block = place
        long = sum(other == stage for other, _ in blocks) > 8
        letters = chr(96 + block)
        if long and block > 1:
            letters = f"b{block - 1}"
        unit.fields["number"] = str(1 + blocks.index(place))
        unit.fields["letters"] = letters


def _traits(model, units) -> dict[str, str]:
    convs = [unit.layer for unit in units if not unit.is_head]
    strided = {
        conv.padding
        for conv in convs
        if conv.strides > 1 and conv.kernel_size != 1
    }
    traits = {
        "activation": _name_of(convs[0].activation),
        "padding": "/".join(sorted(strided - {"valid"})) or "same",
        "strides": str(convs[0].strides),
    }
    layers = list(model._flatten_layers())
    for layer in layers:
        if isinstance(layer, Stem):
            traits["variant"] = layer.variant
    # With two 3x3 in a block there is no 1x1 for the strides to move from.
    if any(isinstance(layer, BasicBlock) for layer in layers):
        traits["variant"] = traits["variant"].replace("A", "B")
    return traits


def _name_of(activation) -> str:
    name = keras.activations.serialize(activation)
    return name if isinstance(name, str) else name["config"]
