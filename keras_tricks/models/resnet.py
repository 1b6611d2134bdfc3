import keras
import numpy as np

from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks._types import Activation, DType, PathLike, Shape
from keras_tricks.layers.conv_norm import VARIANTS
from keras_tricks.layers.residual import BasicBlock, BottleneckBlock
from keras_tricks.layers.stem import Stem
from keras_tricks.models._network import build_network, strides_and_dilation

DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (BottleneckBlock, (3, 4, 6, 3)),
    101: (BottleneckBlock, (3, 4, 23, 3)),
    152: (BottleneckBlock, (3, 8, 36, 3)),
}


def ResNet(
    depth: int,
    variant: str = "D",
    num_classes: int = 1000,
    zero_gamma: bool | None = None,
    activation: Activation = "relu",
    small_images: bool = False,
    include_top: bool = True,
    pooling: str | None = None,
    width: int = 64,
    dropout: float = 0.0,
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
    """Build a ResNet of the paper: variant A, B, C or D.

    A stem, four stages of residual blocks, global average pooling, and one
    dense layer, whose outputs are logits: there is no softmax. The logits are
    float32 under every dtype policy.

    | variant | change |
    |---|---|
    | A | 7x7 stem; a strided bottleneck strides in its first 1x1 |
    | B | A, with the strides in the 3x3 |
    | C | B, with a stem of three 3x3 |
    | D | C, with average pooling before the 1x1 of a strided shortcut |

    Args:
        depth: 18, 34, 50, 101 or 152.
        variant: `"A"`, `"B"`, `"C"` or `"D"`. Defaults to `"D"`.
        num_classes: Integer, the number of logits. Defaults to 1000.
        zero_gamma: Whether the batch norms that end residual branches start
            with gamma 0. Defaults to `None`: `True`, but `False` with frozen
            norms, where a branch would stay silent for ever.
        activation: Name or function, in place of every ReLU. Defaults to
            `"relu"`.
        small_images: Whether to use the stem for images of 28 to 64 pixels,
            of stride 1 and without max pool. Defaults to `False`.
        include_top: Whether to end in logits. Defaults to `True`.
        pooling: Without the top: `"avg"` or `"max"` for a vector per image,
            `None` for the feature map. Defaults to `None`.
        width: Even integer that scales all channels: those of the stem and of
            the first stage. Defaults to 64, the paper's.
        dropout: Rate of the dropout before the logits. Defaults to 0.
        drop_path: Stochastic depth: rate of the `DropPath` of the last block;
            it grows linearly from 0 at the first. Defaults to 0.
        output_stride: 8, 16 or 32: stages that would exceed it dilate instead,
            and give at every second (or fourth) pixel what they give with
            strides. `small_images` divides it by 4. Defaults to 32.
        frozen_norm: Whether the batch norms keep statistics, gamma and beta
            as they are, for fine-tuning. Defaults to `False`.
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
        name: Name of the model. Defaults to, say, `"resnet50_d"`.

    Returns:
        A functional `keras.Model`. Input: images `(batch, *input_shape)`.
        Output: `(batch, num_classes)` in float32, or the features. Its
        `pyramid` holds the symbolic outputs of the stages, `"P2"` to `"P5"` of
        strides 4 to 32 (1 to 8 with `small_images`), for
        `keras.Model(model.input, model.pyramid)`.

    Raises:
        ValueError: For an argument outside the values above, images below 32
            pixels (8 for small images), pooling together with the top, or
            zero gammas together with frozen norms.

    Example:
    >>> model = ResNet(18, num_classes=10, width=8, input_shape=(64, 64, 3))
    >>> model.output_shape
    (None, 10)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4
    """
    check_choice("depth", depth, tuple(DEPTHS))
    check_choice("variant", variant, VARIANTS)
    if check_int("width", width, 2) % 2:
        raise ValueError(f"`width` must be even. Received: width={width}")
    check_real("drop_path", drop_path, 0, 1, open_high=True)
    check_choice("output_stride", output_stride, (8, 16, 32))
    if zero_gamma and frozen_norm:
        raise ValueError(
            "`zero_gamma` must not be True with frozen_norm=True: the branches "
            f"would stay silent. Received: zero_gamma={zero_gamma}"
        )
    if zero_gamma is None:
        zero_gamma = not frozen_norm

    def features(images, **options):
        x = Stem(
            variant, width, small_images=small_images, name="stem", **options
        )(images)
        options["zero_gamma"] = zero_gamma
        return _stages(
            x, depth, variant, width, drop_path, output_stride, options
        )

    return build_network(
        features,
        name=name or f"resnet{depth}_{variant.lower()}",
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


def _stages(x, depth, variant, width, drop_path, output_stride, options):
    """Apply the four stages of residual blocks; return their outputs."""
    block, counts = DEPTHS[depth]
    arguments = strides_and_dilation((1, 2, 2, 2), 4, output_stride)
    rates = iter(np.linspace(0, drop_path, sum(counts)).tolist())
    levels = {}
    for stage, (count, (first, other)) in enumerate(
        zip(counts, arguments, strict=True), start=1
    ):
        for index in range(1, count + 1):
            x = block(
                width * 2 ** (stage - 1),
                variant=variant,
                drop_path=next(rates),
                name=f"stage{stage}_block{index}",
                **(first if index == 1 else other),
                **options,
            )(x)
        levels[f"P{stage + 1}"] = x
    return levels
