"""What the networks share: input, head, options, and the model's class."""

import keras

from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks.layers.conv_norm import get_activation, get_data_format
from keras_tricks.models.weights import load_weights_from


@keras.saving.register_keras_serializable("keras_tricks")
class ClassifierModel(keras.Model):
    """A functional model with a dtype policy, a pyramid and preprocessing.

    By the policy of the model `compile` decides whether to scale the loss;
    core Keras' functional models take the global one, and again when they
    are loaded. `preprocessing` is what its weights expect to be done to
    images, a `keras_tricks.data.Preprocessing`, or None. `weights_report` is
    what `load_weights_from` said last, `network_report` what was done to a
    network of others; they are not saved.
    """

    pyramid_layers: dict[str, str] = {}
    preprocessing = None
    weights_report = None
    network_report = None

    @property
    def pyramid(self):
        """Symbolic outputs by level, for `keras.Model(input, pyramid)`.

        `"P2"`, `"P3"`, `"P4"` and `"P5"` have strides 4, 8, 16 and 32, but
        none above `output_stride`; with `small_images` a quarter of it.
        """
        return {
            level: self.get_layer(name).output
            for level, name in self.pyramid_layers.items()
        }

    def get_config(self):
        policy = keras.saving.serialize_keras_object(self.dtype_policy)
        return {
            **super().get_config(),
            "dtype_policy": policy,
            "pyramid_layers": dict(self.pyramid_layers),
            "preprocessing": keras.saving.serialize_keras_object(
                self.preprocessing
            ),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        policy = config.pop("dtype_policy")
        pyramid_layers = config.pop("pyramid_layers", {})
        preprocessing = config.pop("preprocessing", None)
        model = super().from_config(config, custom_objects)
        model.dtype_policy = keras.saving.deserialize_keras_object(policy)
        model.pyramid_layers = pyramid_layers
        model.preprocessing = keras.saving.deserialize_keras_object(
            preprocessing
        )
        return model


def build_network(
    features,
    *,
    name,
    default_size,
    smallest,
    num_classes,
    include_top,
    pooling,
    dropout,
    activation,
    small_images,
    frozen_norm,
    weights,
    skip_head,
    input_shape,
    data_format,
    dtype,
):
    """Check the options that every network has, and build one.

    `features` takes the images, and the keyword arguments of every layer that
    it makes; it returns the levels of the pyramid by name, from fine to
    coarse. Images have `default_size` where `input_shape` is `None`, and at
    least the size `smallest`. All else is as in the public constructors.
    """
    check_int("num_classes", num_classes, 1)
    check_real("dropout", dropout, 0, 1, open_high=True)
    _check_pooling(pooling, include_top)
    if skip_head and weights is None:
        raise ValueError(
            "`skip_head` must be False without `weights`. "
            f"Received: skip_head={skip_head}, weights=None"
        )
    options = {
        "activation": get_activation(activation),
        "data_format": get_data_format(data_format),
        "frozen_norm": bool(frozen_norm),
        "dtype": dtype,
    }
    input_shape = _check_input_shape(
        input_shape,
        options["data_format"],
        default_size,
        smallest,
        small_images,
    )
    images = keras.Input(input_shape, name="images")
    levels = features(images, **options)
    x = list(levels.values())[-1]
    outputs = _head(
        x,
        num_classes,
        include_top,
        pooling,
        dropout,
        options["data_format"],
        dtype,
    )
    model = ClassifierModel(images, outputs, name=name)
    model.pyramid_layers = {
        level: tensor._keras_history.operation.name
        for level, tensor in levels.items()
    }
    if dtype is not None:
        model.dtype_policy = dtype
    if weights is not None:
        skip_head = bool(skip_head) or not include_top
        try:
            load_weights_from(model, weights, skip_head=skip_head)
        except ValueError as error:
            raise ValueError(
                f"`weights` must be those of {model.name}: {error}"
            ) from error
    return model


def strides_and_dilation(stage_strides, stride, output_stride):
    """Turn strides past `output_stride` into dilation.

    Args:
        stage_strides: The strides of each stage's first block.
        stride: The stride before the first stage.
        output_stride: The stride that no stage may exceed.

    Returns:
        For each stage a pair: the arguments of its first block and those of
        its other blocks.
    """
    dilation, stages = 1, []
    for strides in stage_strides:
        keep = stride * strides > output_stride
        first = {
            "strides": strides,
            "dilation": dilation,
            "keep_resolution": keep,
        }
        if keep:
            dilation *= strides
        else:
            stride *= strides
        stages.append((first, {"dilation": dilation}))
    return stages


def refuse_residual_options(network, drop_path, zero_gamma):
    """Refuse what acts on residual branches in a network without any."""
    for name, value in (("drop_path", drop_path), ("zero_gamma", zero_gamma)):
        if value:
            raise ValueError(
                f"`{name}` must be {type(value)()} for {network}, which has "
                f"no residual branches. Received: {name}={value!r}"
            )


def _head(x, num_classes, include_top, pooling, dropout, data_format, dtype):
    """Apply what follows the last stage."""
    if not include_top and pooling is None:
        return x
    pool = (
        keras.layers.GlobalMaxPooling2D
        if pooling == "max"
        else keras.layers.GlobalAveragePooling2D
    )
    x = pool(data_format=data_format, dtype=dtype, name="pool")(x)
    if not include_top:
        return x
    if dropout:
        x = keras.layers.Dropout(dropout, dtype=dtype, name="dropout")(x)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer="glorot_uniform",
        dtype="float32",
        name="logits",
    )(x)


def _check_pooling(pooling, include_top):
    """Refuse an unknown pooling, and one that would be ignored."""
    check_choice("pooling", pooling, (None, "avg", "max"))
    if include_top and pooling is not None:
        raise ValueError(
            "`pooling` must be None when include_top=True, which averages. "
            f"Received: pooling={pooling!r}"
        )


def _check_input_shape(
    shape, data_format, default_size, smallest, small_images
):
    """Return the shape of one image, checked."""
    last = data_format == "channels_last"
    if shape is None:
        size = (default_size, default_size)
        return (*size, 3) if last else (3, *size)
    shape = tuple(shape)
    channels = shape[-1 if last else 0] if len(shape) == 3 else None
    if channels is None or channels < 1:
        order = "height, width, channels" if last else "channels, height, width"
        raise ValueError(
            f"`input_shape` must be ({order}), with the channels given, for "
            f"data_format='{data_format}'. Received: input_shape={shape}"
        )
    smallest = 8 if small_images else smallest
    sizes = shape[:2] if last else shape[1:]
    if any(size is not None and size < smallest for size in sizes):
        hint = "" if small_images else " (8 with small_images=True)"
        raise ValueError(
            f"`input_shape` must have height and width of at least {smallest}"
            f"{hint}. Received: input_shape={shape}"
        )
    return shape
