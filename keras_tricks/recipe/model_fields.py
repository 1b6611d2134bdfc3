"""The fields of a recipe that say which network is trained."""

import dataclasses

from keras_tricks.recipe.fields import option


@dataclasses.dataclass(frozen=True)
class ModelFields:
    """The fields of `Recipe` that say which network is trained.

    Args:
        **fields: See `Recipe`, which lists them.

    Example:
    >>> ModelFields(depth=50).variant
    'D'
    """

    model: str = option(
        "resnet",
        "Network: resnet, inception_v3, mobilenet; applications/NAME of "
        "Keras, hub/PRESET of KerasHub, a .keras file, or module:function, "
        "your own code.",
    )
    depth: int = option(
        18, "Depth of a ResNet.", choices=(18, 34, 50, 101, 152)
    )
    variant: str = option(
        "D", "Variant of a ResNet.", choices=("A", "B", "C", "D")
    )
    width: int = option(
        16, "Channels of the first stage, even (paper: 64).", low=2, high=2**16
    )
    small_images: bool = option(
        True, "Use the stem that keeps the resolution, for 8 to 64 pixels."
    )
    activation: str = option("relu", "Activation in place of every ReLU.")
    zero_gamma: bool = option(
        True, "Start the last gamma of each residual branch at 0."
    )
    dropout: float | None = option(
        None,
        "Dropout before the logits; none for the network's own.",
        low=0,
        below=1,
    )
    drop_path: float = option(
        0.0,
        "Stochastic depth: rate of the last block.",
        low=0,
        below=1,
        search=(0.0, 0.3, False),
    )
    frozen_norm: bool = option(False, "Keep the batch norms as they are.")
    weights: str | None = option(
        None,
        "Weights to start from: a file, a name on the hub, or imagenet for "
        "applications/NAME.",
    )
    skip_head: bool = option(
        False, "Keep the last layer random, say for other classes."
    )
    data_format: str = option(
        "auto",
        "Layout of images inside the model; auto takes the fastest.",
        choices=("auto", "channels_last", "channels_first"),
    )
