"""How another library names, orders and stores the weights of a network."""

import dataclasses
import re

import numpy as np

from keras_tricks.data.transforms.preprocessing import Preprocessing

_FIELD = re.compile(r"\{(\w+?)([+-]\d+)?(:a)?\}")


@dataclasses.dataclass(frozen=True)
class Naming:
    """What a library appends to a layer's name, and its order of axes.

    Attributes:
        kernel: Ending of kernels; likewise the next five.
        conv: Axes of a kernel: ours, an arrow, theirs; 1 is an axis of
            length 1.
        depthwise: Likewise of a depthwise kernel.
    """

    kernel: str
    bias: str
    gamma: str
    beta: str
    moving_mean: str
    moving_variance: str
    conv: str = "hwio->oihw"
    depthwise: str = "hwc1->c1hw"


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way in which files hold the weights of one family of networks.

    Attributes:
        name: Of the library, such as `"timm"`.
        family: `"resnet"`, `"inception_v3"` or `"mobilenet"`.
        naming: Endings and axes.
        rows: Triples: pattern of the path of one of our `ConvNorm` layers,
            their name of its convolution, and of its norm. In names a field
            of the pattern stands in braces, with an offset or, as a letter,
            with `:a`. Further fields are `number`, of a block in the network,
            and `letters`, of a block in its stage.
        head: Their names of the last kernel and bias, and the kernel's axes.
        variants: Those of our ResNets that are this network, or `""`.
        epsilon: Of the norms.
        activation: Name of the activation.
        padding: `"same"`, or `"end"` if strided convolutions pad only there.
        strides: Of the stem.
        dropped: Pattern of names that are known and not needed.
        preprocessing: What belongs to the published weights, if always the
            same.
    """

    name: str
    family: str
    naming: Naming
    rows: tuple[tuple[str, str, str], ...]
    head: tuple[str, str, str]
    variants: str = ""
    epsilon: float = 1e-5
    activation: str = "relu"
    padding: str = "same"
    strides: str = "2"
    dropped: str = r".*num_batches_tracked"
    preprocessing: Preprocessing | None = None

    def names(self, path, fields) -> tuple[str, str] | None:
        """Return their names of convolution and norm of one of our layers.

        Args:
            path: Path of the `ConvNorm`.
            fields: More fields for the names.

        Returns:
            Two names, or None if no row has the layer.
        """
        for pattern, conv, norm in self.rows:
            match = re.fullmatch(pattern, path)
            if match:
                fields = {**match.groupdict(), **fields}
                return fill(conv, fields), fill(norm, fields)
        return None

    def drops(self, name) -> bool:
        """Return whether a tensor of this name is known and not needed."""
        return re.fullmatch(self.dropped, name) is not None


def fill(template: str, fields: dict) -> str:
    """Put fields into a name.

    Args:
        template: Name with fields in braces.
        fields: Their values: strings or integers.

    Returns:
        The name.

    Example:
    >>> fill("layer{stage}.{block-1}_{conv:a}", {"stage": 2, "block": "3",
    ...                                          "conv": 1})
    'layer2.2_a'
    """

    def value(match):
        name, offset, letter = match.groups()
        if offset or letter:
            number = int(fields[name]) + int(offset or 0)
            return chr(96 + number) if letter else str(number)
        return str(fields[name])

    return _FIELD.sub(value, template)


def rearrange(array: np.ndarray, axes: str) -> np.ndarray:
    """Reorder axes.

    Args:
        array: Of the axes before the arrow.
        axes: Say `"hwio->oihw"`; 1 is an axis of length 1.

    Returns:
        A view of the axes after the arrow.

    Example:
    >>> rearrange(np.zeros((3, 5, 2, 1)), "hwc1->c1hw").shape
    (2, 1, 3, 5)
    """
    before, after = axes.split("->")
    order = [before.replace("1", "").index(a) for a in after if a != "1"]
    array = array.squeeze(_ones(before)).transpose(order)
    return np.expand_dims(array, _ones(after))


def _ones(axes):
    return tuple(i for i, axis in enumerate(axes) if axis == "1")


def reverse(axes: str) -> str:
    """Return the order of axes that undoes the given one.

    Example:
    >>> reverse("hwio->oihw")
    'oihw->hwio'
    """
    before, after = axes.split("->")
    return f"{after}->{before}"
