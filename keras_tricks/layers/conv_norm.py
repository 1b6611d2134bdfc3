import keras
from keras import ops

from keras_tricks._checks import check_choice, check_int

BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}
"""The batch norm settings of the paper's networks."""

VARIANTS = ("A", "B", "C", "D")
"""The paper's four networks of one depth."""

DATA_FORMATS = ("channels_last", "channels_first")


def get_data_format(data_format: str | None) -> str:
    """Returns the given data format, or Keras' default for `None`."""
    if data_format is None:
        return keras.config.image_data_format()
    return check_choice("data_format", data_format, DATA_FORMATS)


def get_activation(activation):
    """Returns the activation function of a name, a function or `None`."""
    if isinstance(activation, keras.layers.Layer):
        raise ValueError(
            "`activation` must be a name or a function, not a layer. "
            f"Received: activation={activation!r}"
        )
    try:
        return keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`activation` must be the name of an activation, a function or "
            f"None. Received: activation={activation!r}"
        ) from error


def pad_images(images, padding: int, data_format: str, value: float = 0.0):
    """Pads height and width of a batch by the same amount on every side."""
    widths = [(0, 0), (padding, padding), (padding, padding)]
    last = data_format == "channels_last"
    widths.insert(3 if last else 1, (0, 0))
    return ops.pad(images, widths, constant_values=value)


def padded_shape(shape, padding: int, data_format: str) -> tuple:
    """Returns the shape that `pad_images` gives."""
    start = 1 if data_format == "channels_last" else 2
    return tuple(
        size + 2 * padding
        if size is not None and start <= axis < start + 2
        else size
        for axis, size in enumerate(shape)
    )


@keras.saving.register_keras_serializable("keras_tricks")
class ConvNorm(keras.layers.Layer):
    """Convolution without bias, batch norm, and an optional activation.

    `y = activation(batch_norm(conv(x)))`

    Padding is `kernel_size // 2` on every side, whatever the strides, as in
    the paper's networks. (The `"same"` of Keras pads strided convolutions on
    one side only.) Kernels start Glorot (Xavier) uniform; the norm has
    momentum 0.9 and epsilon 1e-5.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Odd integer. Defaults to 3.
        strides: 1 or 2. Defaults to 1.
        activation: Name or function. Defaults to `None`, linear.
        zero_gamma: Whether the norm's gamma starts at 0 instead of 1.
            Defaults to `False`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For an even kernel, unknown strides, activation or data
            format.

    Example:
    >>> layer = ConvNorm(16, 3, strides=2, activation="relu")
    >>> tuple(layer(keras.ops.ones((2, 9, 9, 3))).shape)
    (2, 5, 5, 16)

    Reference:
        [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=1,
        activation=None,
        zero_gamma=False,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, 1)
        self.kernel_size = check_int("kernel_size", kernel_size, 1)
        if kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be odd, so that padding is symmetric. "
                f"Received: kernel_size={kernel_size}"
            )
        self.strides = check_choice("strides", strides, (1, 2))
        self.activation = get_activation(activation)
        self.zero_gamma = bool(zero_gamma)
        self.data_format = get_data_format(data_format)
        # Stride 1 needs no copy: there "same" is symmetric.
        self._padding = kernel_size // 2 if self.strides > 1 else 0
        self.conv = keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding="same" if self.strides == 1 else "valid",
            data_format=self.data_format,
            use_bias=False,
            kernel_initializer="glorot_uniform",
            dtype=self.dtype_policy,
            name="conv",
        )
        self.norm = keras.layers.BatchNormalization(
            axis=-1 if self.data_format == "channels_last" else 1,
            gamma_initializer="zeros" if self.zero_gamma else "ones",
            dtype=self.dtype_policy,
            name="norm",
            **BATCH_NORM,
        )

    def build(self, input_shape):
        self.conv.build(
            padded_shape(input_shape, self._padding, self.data_format)
        )
        self.norm.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs, training=None):
        x = inputs
        if self._padding:
            x = pad_images(x, self._padding, self.data_format)
        x = self.norm(self.conv(x), training=training)
        return self.activation(x)

    def compute_output_shape(self, input_shape):
        return self.conv.compute_output_shape(
            padded_shape(input_shape, self._padding, self.data_format)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": keras.activations.serialize(self.activation),
            "zero_gamma": self.zero_gamma,
            "data_format": self.data_format,
        }
