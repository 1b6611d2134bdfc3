"""The twenty networks by name, such as `ResNet50D`."""

import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import keras

from keras_tricks.models.resnet import ResNet

_DOCUMENTATION = """Builds ResNet-{depth}-{variant}.

    `ResNet({depth}, "{variant}", ...)`: see `keras_tricks.models.ResNet`.

    Args:
        num_classes: Integer, the number of logits. Defaults to 1000.
        zero_gamma: This and all that follow are as in `ResNet`, with the same
            defaults.

    Returns:
        A functional `keras.Model` that gives float32 logits.

    Raises:
        ValueError: As `ResNet` does.

    Example:

    >>> model = ResNet{depth}{variant}(
    ...     num_classes=10, width=2, input_shape=(32, 32, 3)
    ... )
    >>> model.name
    'resnet{depth}_{suffix}'

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4
    """

_Options = ParamSpec("_Options")


def _constructor(
    network: Callable[Concatenate[int, str, _Options], keras.Model],
    depth: int,
    variant: str,
) -> Callable[_Options, keras.Model]:
    """Return `ResNet` with depth and variant fixed, named after them."""

    def build(*args: _Options.args, **kwargs: _Options.kwargs) -> keras.Model:
        return network(depth, variant, *args, **kwargs)

    signature = inspect.signature(network)
    parameters = list(signature.parameters.values())[2:]
    vars(build)["__signature__"] = signature.replace(parameters=parameters)
    build.__name__ = build.__qualname__ = f"ResNet{depth}{variant}"
    build.__doc__ = _DOCUMENTATION.format(
        depth=depth, variant=variant, suffix=variant.lower()
    )
    return build


ResNet18A = _constructor(ResNet, 18, "A")
ResNet18B = _constructor(ResNet, 18, "B")
ResNet18C = _constructor(ResNet, 18, "C")
ResNet18D = _constructor(ResNet, 18, "D")
ResNet34A = _constructor(ResNet, 34, "A")
ResNet34B = _constructor(ResNet, 34, "B")
ResNet34C = _constructor(ResNet, 34, "C")
ResNet34D = _constructor(ResNet, 34, "D")
ResNet50A = _constructor(ResNet, 50, "A")
ResNet50B = _constructor(ResNet, 50, "B")
ResNet50C = _constructor(ResNet, 50, "C")
ResNet50D = _constructor(ResNet, 50, "D")
ResNet101A = _constructor(ResNet, 101, "A")
ResNet101B = _constructor(ResNet, 101, "B")
ResNet101C = _constructor(ResNet, 101, "C")
ResNet101D = _constructor(ResNet, 101, "D")
ResNet152A = _constructor(ResNet, 152, "A")
ResNet152B = _constructor(ResNet, 152, "B")
ResNet152C = _constructor(ResNet, 152, "C")
ResNet152D = _constructor(ResNet, 152, "D")
