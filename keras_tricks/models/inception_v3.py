import keras

from keras_tricks._checks import check_real
from keras_tricks._types import Activation, DType, PathLike, Shape
from keras_tricks.layers.conv_norm import ConvNorm, get_axis
from keras_tricks.layers.pooling import PaddedPooling2D
from keras_tricks.models._network import (
    build_network,
    refuse_residual_options,
)

EPSILON = 1e-3
"""Epsilon of the batch norms, ten times that of the ResNets or more."""


# A block is a dictionary of branches. A branch is a list of steps: channels
# and kernel of a convolution, whose strides are 1 or given third; the kind of
# a pool; or two convolutions that both take the output of the step before.


def _mixed_a(pooled):
    return {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": ["average", (pooled, 1)],
    }


def _mixed_c(inner):
    return {
        "branch1x1": [(192, 1)],
        "branch7x7": [(inner, 1), (inner, (1, 7)), (192, (7, 1))],
        "branch7x7dbl": [
            (inner, 1),
            (inner, (7, 1)),
            (inner, (1, 7)),
            (inner, (7, 1)),
            (192, (1, 7)),
        ],
        "branch_pool": ["average", (192, 1)],
    }


_MIXED_B = {
    "branch3x3": [(384, 3, 2)],
    "branch3x3dbl": [(64, 1), (96, 3), (96, 3, 2)],
    "branch_pool": ["max"],
}
_MIXED_D = {
    "branch3x3": [(192, 1), (320, 3, 2)],
    "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)],
    "branch_pool": ["max"],
}
_MIXED_E = {
    "branch1x1": [(320, 1)],
    "branch3x3": [(384, 1), [(384, (1, 3)), (384, (3, 1))]],
    "branch3x3dbl": [(448, 1), (384, 3), [(384, (1, 3)), (384, (3, 1))]],
    "branch_pool": ["average", (192, 1)],
}
LEVELS = {
    "P3": {"5b": _mixed_a(32), "5c": _mixed_a(64), "5d": _mixed_a(64)},
    "P4": {
        "6a": _MIXED_B,
        "6b": _mixed_c(128),
        "6c": _mixed_c(160),
        "6d": _mixed_c(160),
        "6e": _mixed_c(192),
    },
    "P5": {"7a": _MIXED_D, "7b": _MIXED_E, "7c": _MIXED_E},
}


def InceptionV3(
    num_classes: int = 1000,
    zero_gamma: bool = False,
    activation: Activation = "relu",
    small_images: bool = False,
    include_top: bool = True,
    pooling: str | None = None,
    width_multiplier: float = 1.0,
    dropout: float = 0.5,
    drop_path: float = 0.0,
    output_stride: int = 32,
    frozen_norm: bool = False,
    weights: PathLike | keras.Model | None = None,
    skip_head: bool = False,
    input_shape: Shape | None = None,
    data_format: str | None = None,
    dtype: DType = None,
    name: str | None = None,
) -> keras.Model:
    """Build Inception-V3, one of the paper's students, for 299 pixels.

    Five convolutions and two max pools, eleven blocks of parallel branches,
    global average pooling, dropout, and one dense layer, whose outputs are
    logits: there is no softmax, and no auxiliary head. The logits are float32
    under every dtype policy. The batch norms have epsilon 0.001.

    Most of the convolutions before the first block, and those with strides,
    are not padded, so maps are a little smaller than size / stride: 71, 35, 17
    and 8 pixels at 299.

    Args:
        num_classes: Integer, the number of logits. Defaults to 1000.
        zero_gamma: Must be `False`: there are no residual branches.
        activation: Name or function, in place of every ReLU. Defaults to
            `"relu"`.
        small_images: Whether to begin with stride 1, without the first max
            pool, and to pad everything, for images of 28 to 64 pixels.
            Defaults to `False`.
        include_top: Whether to end in logits. Defaults to `True`.
        pooling: Without the top: `"avg"` or `"max"` for a vector per image,
            `None` for the feature map. Defaults to `None`.
        width_multiplier: Positive number that scales all channels, rounded
            down. Defaults to 1.
        dropout: Rate of the dropout before the logits. Defaults to 0.5.
        drop_path: Must be 0: there are no residual branches.
        output_stride: Must be 32: without padding strides cannot become
            dilation.
        frozen_norm: Whether the batch norms keep statistics, gamma and beta
            as they are, for fine-tuning. Defaults to `False`.
        weights: Trained weights to begin with: a file, a name on the hub, or
            a model, see `load_weights_from`. The preprocessing that belongs
            to them, if known, is `model.preprocessing`. Defaults to `None`,
            random ones.
        skip_head: Whether the last layer stays random, say for other
            `num_classes` than the weights have. Defaults to `False`.
        input_shape: Three integers; height and width may be `None`. Defaults
            to 299 by 299 with 3 channels.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        dtype: Dtype policy of the layers, such as `"mixed_bfloat16"`, or
            `None` for the global policy.
        name: Name of the model. Defaults to `"inception_v3"`.

    Returns:
        A functional `keras.Model`. Input: images `(batch, *input_shape)`.
        Output: `(batch, num_classes)` in float32, or the features. Its
        `pyramid` holds symbolic outputs, `"P2"` to `"P5"` of strides 4 to 32 (1
        to 8 with `small_images`), for `keras.Model(model.input,
        model.pyramid)`.

    Raises:
        ValueError: For an argument outside the values above, images below 75
            pixels (8 for small images), or pooling together with the top.

    Example:
    >>> model = InceptionV3(
    ...     num_classes=10, width_multiplier=0.125, input_shape=(75, 75, 3)
    ... )
    >>> model.output_shape
    (None, 10)

    Reference:
        - [Szegedy et al., 2015](https://arxiv.org/abs/1512.00567)
    """
    refuse_residual_options("InceptionV3", drop_path, zero_gamma)
    check_real("width_multiplier", width_multiplier, 0, open_low=True)
    if output_stride != 32:
        raise ValueError(
            "`output_stride` must be 32 for InceptionV3, whose strides are not "
            f"padded. Received: output_stride={output_stride!r}"
        )

    def features(images, **options):
        return _features(images, width_multiplier, small_images, options)

    return build_network(
        features,
        name=name or "inception_v3",
        default_size=299,
        smallest=75,
        num_classes=num_classes,
        include_top=include_top,
        pooling=pooling,
        dropout=dropout,
        activation=activation,
        small_images=small_images,
        frozen_norm=frozen_norm,
        weights=weights,
        skip_head=skip_head,
        input_shape=input_shape,
        data_format=data_format,
        dtype=dtype,
    )


def _features(images, width_multiplier, small_images, options):
    """Apply all but the head; return the levels of the pyramid."""
    layers = _Layers(width_multiplier, small_images, options)
    reduced = layers.reduced
    strides = 1 if small_images else 2
    x = layers.conv(images, "conv2d_1a_3x3", 32, 3, strides, reduced)
    x = layers.conv(x, "conv2d_2a_3x3", 32, 3, 1, reduced)
    x = layers.conv(x, "conv2d_2b_3x3", 64, 3)
    if not small_images:
        x = layers.pool(x, "pool1", "max")
    x = layers.conv(x, "conv2d_3b_1x1", 80, 1)
    x = layers.conv(x, "conv2d_4a_3x3", 192, 3, 1, reduced)
    levels = {"P2": x}
    x = layers.pool(x, "pool2", "max")
    for level, blocks in LEVELS.items():
        for name, branches in blocks.items():
            x = layers.mixed(x, f"mixed_{name}", branches)
        levels[level] = x
    return levels


class _Layers:
    """The layers of one network, which have its options."""

    def __init__(self, width_multiplier, small_images, options):
        self.width_multiplier = width_multiplier
        self.options = options
        # The padding of what makes the maps smaller.
        self.reduced = "same" if small_images else "valid"

    def conv(self, x, name, channels, kernel_size, strides=1, padding="same"):
        return ConvNorm(
            max(1, int(channels * self.width_multiplier)),
            kernel_size,
            strides,
            padding=self.reduced if strides > 1 else padding,
            epsilon=EPSILON,
            name=name,
            **self.options,
        )(x)

    def pool(self, x, name, kind):
        return PaddedPooling2D(
            kind,
            strides=2 if kind == "max" else 1,
            padding=self.reduced if kind == "max" else "same",
            data_format=self.options["data_format"],
            dtype=self.options["dtype"],
            name=name,
        )(x)

    def mixed(self, inputs, name, branches):
        outputs = []
        for branch, steps in branches.items():
            branch = f"{name}_{branch}"
            count = sum(not isinstance(step, str) for step in steps)
            x, index = inputs, 0
            for step in steps:
                if isinstance(step, str):
                    x = self.pool(x, f"{name}_pool", step)
                    continue
                index += 1
                ending = f"_{index}" if count > 1 else ""
                if isinstance(step, tuple):
                    x = self.conv(x, branch + ending, *step)
                else:
                    x = [
                        self.conv(x, branch + ending + letter, *part)
                        for letter, part in zip("ab", step, strict=True)
                    ]
            outputs += x if isinstance(x, list) else [x]
        return keras.layers.Concatenate(
            axis=get_axis(self.options["data_format"]),
            dtype=self.options["dtype"],
            name=name,
        )(outputs)
