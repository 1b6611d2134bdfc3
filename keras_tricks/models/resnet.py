import keras

from keras_tricks._checks import check_choice, check_int
from keras_tricks.layers.conv_norm import (
    VARIANTS,
    get_activation,
    get_data_format,
)
from keras_tricks.layers.residual import BasicBlock, BottleneckBlock
from keras_tricks.layers.stem import Stem

DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (BottleneckBlock, (3, 4, 6, 3)),
    101: (BottleneckBlock, (3, 4, 23, 3)),
    152: (BottleneckBlock, (3, 8, 36, 3)),
}


@keras.saving.register_keras_serializable("keras_tricks")
class PolicyModel(keras.Model):
    """A functional model that keeps a dtype policy of its own.

    By the policy of the model `compile` decides whether to scale the loss;
    core Keras' functional models take the global one, and again when they
    are loaded.
    """

    def get_config(self):
        policy = keras.saving.serialize_keras_object(self.dtype_policy)
        return {**super().get_config(), "dtype_policy": policy}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        policy = config.pop("dtype_policy")
        model = super().from_config(config, custom_objects)
        model.dtype_policy = keras.saving.deserialize_keras_object(policy)
        return model


def ResNet(
    depth,
    variant="D",
    classes=1000,
    zero_gamma=True,
    activation="relu",
    small_images=False,
    include_top=True,
    pooling=None,
    width=64,
    input_shape=None,
    data_format=None,
    dtype=None,
    name=None,
):
    """Builds a ResNet of the paper: variant A, B, C or D.

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
        classes: Integer, the number of logits. Defaults to 1000.
        zero_gamma: Whether the batch norms that end residual branches start
            with gamma 0. Defaults to `True`.
        activation: Name or function, in place of every ReLU. Defaults to
            `"relu"`.
        small_images: Whether to use the stem for images of 28 to 64 pixels,
            of stride 1 and without max pool. Defaults to `False`.
        include_top: Whether to end in logits. Defaults to `True`.
        pooling: Without the top: `"avg"` or `"max"` for a vector per image,
            `None` for the feature map. Defaults to `None`.
        width: Even integer that scales all channels: those of the stem and of
            the first stage. Defaults to 64, the paper's.
        input_shape: Three integers; height and width may be `None`. Defaults
            to 224 by 224 with 3 channels.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        dtype: Dtype policy of the layers, such as `"mixed_bfloat16"`, or
            `None` for the global policy.
        name: Name of the model. Defaults to, say, `"resnet50_d"`.

    Returns:
        A functional `keras.Model`. Input: images `(batch, *input_shape)`.
        Output: `(batch, classes)` in float32, or the features.

    Raises:
        ValueError: For an argument outside the values above, images below 32
            pixels (8 for small images), or pooling together with the top.

    Example:
    >>> model = ResNet(18, classes=10, width=8, input_shape=(64, 64, 3))
    >>> model.output_shape
    (None, 10)

    Reference:
        [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4.
    """
    check_choice("depth", depth, tuple(DEPTHS))
    check_choice("variant", variant, VARIANTS)
    check_int("classes", classes, 1)
    if check_int("width", width, 2) % 2:
        raise ValueError(f"`width` must be even. Received: width={width}")
    _check_pooling(pooling, include_top)
    options = {
        "activation": get_activation(activation),
        "data_format": get_data_format(data_format),
        "dtype": dtype,
    }
    input_shape = _check_input_shape(
        input_shape, options["data_format"], small_images
    )
    images = keras.Input(input_shape, name="images")
    x = Stem(variant, width, small_images=small_images, name="stem", **options)(
        images
    )
    x = _stages(x, depth, variant, width, zero_gamma=zero_gamma, **options)
    outputs = _head(x, classes, include_top, pooling, options)
    name = name or f"resnet{depth}_{variant.lower()}"
    model = PolicyModel(images, outputs, name=name)
    if dtype is not None:
        model.dtype_policy = dtype
    return model


def _stages(x, depth, variant, width, **options):
    """Applies the four stages of residual blocks."""
    block, counts = DEPTHS[depth]
    for stage, count in enumerate(counts, start=1):
        for index in range(1, count + 1):
            x = block(
                width * 2 ** (stage - 1),
                strides=2 if stage > 1 and index == 1 else 1,
                variant=variant,
                name=f"stage{stage}_block{index}",
                **options,
            )(x)
    return x


def _head(x, classes, include_top, pooling, options):
    """Applies what follows the last stage."""
    if not include_top and pooling is None:
        return x
    pool = (
        keras.layers.GlobalMaxPooling2D
        if pooling == "max"
        else keras.layers.GlobalAveragePooling2D
    )
    x = pool(
        data_format=options["data_format"], dtype=options["dtype"], name="pool"
    )(x)
    if not include_top:
        return x
    return keras.layers.Dense(
        classes,
        kernel_initializer="glorot_uniform",
        dtype="float32",
        name="logits",
    )(x)


def _check_pooling(pooling, include_top):
    """Refuses an unknown pooling, and one that would be ignored."""
    check_choice("pooling", pooling, (None, "avg", "max"))
    if include_top and pooling is not None:
        raise ValueError(
            "`pooling` must be None when include_top=True, which averages. "
            f"Received: pooling={pooling!r}"
        )


def _check_input_shape(shape, data_format, small_images):
    """Returns the shape of one image, checked."""
    last = data_format == "channels_last"
    if shape is None:
        return (224, 224, 3) if last else (3, 224, 224)
    shape = tuple(shape)
    channels = shape[-1 if last else 0] if len(shape) == 3 else None
    if channels is None or channels < 1:
        order = "height, width, channels" if last else "channels, height, width"
        raise ValueError(
            f"`input_shape` must be ({order}), with the channels given, for "
            f"data_format='{data_format}'. Received: input_shape={shape}"
        )
    smallest = 8 if small_images else 32
    sizes = shape[:2] if last else shape[1:]
    if any(size is not None and size < smallest for size in sizes):
        hint = "" if small_images else " (8 with small_images=True)"
        raise ValueError(
            f"`input_shape` must have height and width of at least {smallest}"
            f"{hint}. Received: input_shape={shape}"
        )
    return shape
