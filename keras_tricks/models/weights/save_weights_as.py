import os
from pathlib import Path

import keras

from keras_tricks._checks import check_choice
from keras_tricks._files import write_atomically
from keras_tricks.models.weights._layout import rearrange
from keras_tricks.models.weights._units import find_network
from keras_tricks.models.weights.layouts import LAYOUTS
from keras_tricks.models.weights.matching import find_differences, tensor_names
from keras_tricks.models.weights.readers import SUFFIXES, to_bytes

NAMES = ("timm", "torchvision")
"""Layouts that hold our weights as they are."""


def save_weights_as(
    model: keras.Model,
    path: str | os.PathLike,
    layout: str = "timm",
    allow_differences: bool = False,
) -> Path:
    """Write the weights of a model of ours as another library names them.

    The inverse of `load_weights_from`: what is saved as timm's and loaded
    again is equal bit for bit. timm or torchvision load the file into their
    network with `load_state_dict(..., strict=True)`.

    Args:
        model: A `ResNet`, `InceptionV3` or `MobileNet` of `keras_tricks`,
            with or without its head.
        path: File to write, whose name ends in `.safetensors`, `.npz`, `.pth`
            or `.pt`. It is written in one piece.
        layout: `"timm"` (default) or `"torchvision"`, which has the same names
            but fewer networks.
        allow_differences: Whether to write also what that library's network
            of these names would compute otherwise, such as variant A of
            ResNet-50, or another activation than its own. Defaults to
            `False`.

    Returns:
        The path.

    Raises:
        ValueError: If the library has no such network, or the path no such
            ending.
        ImportError: If a package is missing, naming the extra.

    Example:
    >>> import tempfile
    >>> from keras_tricks.models import ResNet
    >>> model = ResNet(18, num_classes=10, width=8, input_shape=(32, 32, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights_as(model, folder + "/resnet18d.npz")
    ...     sorted(np.load(path))[:3]
    ['bn1.bias', 'bn1.running_mean', 'bn1.running_var']
    """
    check_choice("layout", layout, NAMES)
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"`path` must end in one of {', '.join(SUFFIXES)}. "
            f"Received: path={str(path)!r}"
        )
    network = find_network(model)
    chosen = _find_layout(network, layout)
    differences = find_differences(network, chosen)
    if differences and not allow_differences:
        raise ValueError(
            f"`model` must be the function that {layout}'s network of these "
            "names is, or pass allow_differences=True. Received: "
            f"model={model.name!r}; {layout} has {', '.join(differences)}"
        )
    tensors = {}
    for unit in network.units:
        names = tensor_names(chosen, unit)
        for part, variable in unit.variables.items():
            name, axes = names[part]
            value = keras.ops.convert_to_numpy(variable)
            if part == "moving_variance":
                shift = unit.layer.norm.epsilon - chosen.epsilon
                value = value.astype("float64") + shift
            tensors[name] = rearrange(value, axes).astype("float32")
    return write_atomically(path, to_bytes(tensors, path.suffix))


def _find_layout(network, name):
    """Return the layout of a library that knows all of a model's layers."""
    layouts = [
        layout
        for layout in LAYOUTS
        if (layout.name, layout.family) == (name, network.family)
        and all(tensor_names(layout, unit) for unit in network.units)
    ]
    if not layouts or network.others:
        raise ValueError(
            "`layout` must be one that has every layer of the model. "
            f"Received: layout={name!r}, model with {_unknown(network)}"
        )
    variant = network.traits.get("variant", "")
    return min(layouts, key=lambda layout: variant not in layout.variants)


def _unknown(network):
    """Return the names what no layout of a library has."""
    if network.others:
        return f"the variable {network.others[0].path!r}"
    return f"traits {network.traits}"
