import keras

from keras_tricks._checks import check_choice, check_int
from keras_tricks.layers.conv_norm import (
    VARIANTS,
    ConvNorm,
    get_data_format,
)


@keras.saving.register_keras_serializable("keras_tricks")
class Shortcut(keras.layers.Layer):
    """The path around a residual branch.

    Identity where the input already has `filters` channels and `strides` is
    1. Otherwise a 1x1 convolution and a batch norm: the convolution takes the
    strides itself in variants A, B and C, and so ignores three quarters of
    its input; in variant D a 2x2 average pool of stride 2 comes first. At
    odd sizes the pool's last windows average only the pixels that exist.

    Args:
        filters: Integer, the number of output channels.
        strides: 1 or 2. Defaults to 1.
        variant: `"A"`, `"B"`, `"C"` or `"D"`. Defaults to `"D"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, variant or data format.

    Example:
    >>> shortcut = Shortcut(16, strides=2)
    >>> tuple(shortcut(keras.ops.ones((1, 7, 7, 8))).shape)
    (1, 4, 4, 16)

    Reference:
        [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4.2.
    """

    def __init__(
        self, filters, strides=1, variant="D", data_format=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, 1)
        self.strides = check_choice("strides", strides, (1, 2))
        self.variant = check_choice("variant", variant, VARIANTS)
        self.data_format = get_data_format(data_format)
        self.pool = None
        self.projection = None

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        if self.strides == 1 and input_shape[axis] == self.filters:
            self.built = True
            return
        options = {
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        pooled = self.variant == "D" and self.strides > 1
        if pooled:
            # A 2x2 window of stride 2 is padded at the far end only, and
            # Keras leaves the padding out of the average: ceil mode.
            self.pool = keras.layers.AveragePooling2D(
                2, padding="same", name="pool", **options
            )
            input_shape = self.pool.compute_output_shape(input_shape)
        self.projection = ConvNorm(
            self.filters,
            1,
            strides=1 if pooled else self.strides,
            name="projection",
            **options,
        )
        self.projection.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        x = inputs
        if self.pool is not None:
            x = self.pool(x)
        if self.projection is not None:
            x = self.projection(x, training=training)
        return x

    def compute_output_shape(self, input_shape):
        shape = [
            size if size is None else -(-size // self.strides)
            for size in input_shape
        ]
        shape[0] = input_shape[0]
        axis = -1 if self.data_format == "channels_last" else 1
        shape[axis] = self.filters
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "variant": self.variant,
            "data_format": self.data_format,
        }
