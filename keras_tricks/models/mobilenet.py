import keras

from keras_tricks._checks import check_choice, check_real
from keras_tricks._types import Activation, DType, PathLike, Shape
from keras_tricks.layers.conv_norm import ConvNorm
from keras_tricks.layers.separable import SeparableBlock
from keras_tricks.models._network import (
    build_network,
    refuse_residual_options,
    strides_and_dilation,
)

STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
"""Channels and number of blocks; from the second on the first strides."""


def MobileNet(
    num_classes: int = 1000,
    zero_gamma: bool = False,
    activation: Activation = "relu",
    small_images: bool = False,
    include_top: bool = True,
    pooling: str | None = None,
    width_multiplier: float = 1.0,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    output_stride: int = 32,
    frozen_norm: bool = False,
    padding: str = "same",
    weights: PathLike | keras.Model | None = None,
    skip_head: bool = False,
    input_shape: Shape | None = None,
    data_format: str | None = None,
    dtype: DType = None,
    name: str | None = None,
) -> keras.Model:
    """Build MobileNet-V1, the smallest of the paper's students.

    A 3x3 convolution of stride 2, thirteen depthwise separable blocks in five
    stages, global average pooling, and one dense layer, whose outputs are
    logits: there is no softmax. The logits are float32 under every dtype
    policy.

    Args:
        num_classes: Integer, the number of logits. Defaults to 1000.
        zero_gamma: Must be `False`: there are no residual branches.
        activation: Name or function, in place of every ReLU. Defaults to
            `"relu"`, as in the paper; the weights of `mobilenetv1_100` in
            timm were trained with `"relu6"`.
        small_images: Whether to keep the resolution up to the third stage,
            for images of 28 to 64 pixels. Defaults to `False`.
        include_top: Whether to end in logits. Defaults to `True`.
        pooling: Without the top: `"avg"` or `"max"` for a vector per image,
            `None` for the feature map. Defaults to `None`.
        width_multiplier: Positive number that scales all channels, rounded
            down. Defaults to 1.
        dropout: Rate of the dropout before the logits. Defaults to 0.
        drop_path: Must be 0: there are no residual branches.
        output_stride: 8, 16 or 32: stages that would exceed it dilate instead,
            and give at every second (or fourth) pixel what they give with
            strides. `small_images` divides it by 4. Defaults to 32.
        frozen_norm: Whether the batch norms keep statistics, gamma and beta
            as they are, for fine-tuning. Defaults to `False`.
        padding: Of the strided convolutions: `"same"`, on all sides, or
            `"end"`, the `"same"` of Keras and TensorFlow, which their weights
            need. Defaults to `"same"`.
        weights: Trained weights to begin with: a file, a name on the hub, or
            a model, see `load_weights_from`. The preprocessing that belongs
            to them, if known, is `model.preprocessing`. Defaults to `None`,
            random ones.
        skip_head: Whether the last layer stays random, say for other
            `num_classes` than the weights have. Defaults to `False`.
        input_shape: Three integers; height and width may be `None`. Defaults
            to 224 by 224 with 3 channels.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        dtype: Dtype policy of the layers, such as `"mixed_bfloat16"`, or
            `None` for the global policy.
        name: Name of the model. Defaults to `"mobilenet"`.

    Returns:
        A functional `keras.Model`. Input: images `(batch, *input_shape)`.
        Output: `(batch, num_classes)` in float32, or the features. Its
        `pyramid` holds the symbolic outputs of the stages, `"P2"` to `"P5"` of
        strides 4 to 32 (1 to 8 with `small_images`), for
        `keras.Model(model.input, model.pyramid)`.

    Raises:
        ValueError: For an argument outside the values above, images below 32
            pixels (8 for small images), pooling together with the top, or an
            `output_stride` together with `padding="end"`, where dilation would
            give other features.

    Example:
    >>> model = MobileNet(
    ...     num_classes=10, width_multiplier=0.25, input_shape=(64, 64, 3)
    ... )
    >>> model.output_shape
    (None, 10)

    Reference:
        - [Howard et al., 2017](https://arxiv.org/abs/1704.04861)
    """
    refuse_residual_options("MobileNet", drop_path, zero_gamma)
    check_real("width_multiplier", width_multiplier, 0, open_low=True)
    check_choice("output_stride", output_stride, (8, 16, 32))
    check_choice("padding", padding, ("same", "end"))
    if padding == "end" and output_stride < 32:
        raise ValueError(
            "`output_stride` must be 32 with padding='end'. "
            f"Received: output_stride={output_stride}"
        )

    def width(channels):
        return max(1, int(channels * width_multiplier))

    def features(images, **options):
        options["padding"] = padding
        early = 1 if small_images else 2
        x = ConvNorm(width(32), strides=early, name="stem", **options)(images)
        arguments = strides_and_dilation(
            (1, early, 2, 2, 2), 4 // early, output_stride
        )
        levels = {}
        for stage, ((channels, count), (first, other)) in enumerate(
            zip(STAGES, arguments, strict=True), start=1
        ):
            for index in range(1, count + 1):
                x = SeparableBlock(
                    width(channels),
                    name=f"stage{stage}_block{index}",
                    **(first if index == 1 else other),
                    **options,
                )(x)
            levels[f"P{stage}"] = x
        del levels["P1"]
        return levels

    return build_network(
        features,
        name=name or "mobilenet",
        default_size=224,
        smallest=32,
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
