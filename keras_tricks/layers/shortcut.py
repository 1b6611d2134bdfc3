from typing import Any

import keras
from keras import ops

from keras_tricks._checks import check_choice, check_int
from keras_tricks._types import Shape, Tensor
from keras_tricks.layers.conv_norm import (
    VARIANTS,
    ConvNorm,
    get_axis,
    get_data_format,
)


def average_neighbors(images, distance: int, data_format: str):
    """Average 2x2 pixels that stand `distance` apart, with stride 1.

    At the far ends, where the neighbor would be outside, a pixel is its own:
    only pixels that exist are averaged.

    Args:
        images: Floats, `(batch, height, width, channels)` or channels first.
        distance: Integer, at least 1, in pixels.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor like `images`.

    Example:
    >>> row = keras.ops.reshape(keras.ops.arange(4.0), (1, 1, 4, 1))
    >>> y = average_neighbors(row, 2, "channels_last")
    >>> keras.ops.convert_to_numpy(y).ravel().tolist()
    [1.0, 2.0, 2.0, 3.0]
    """
    start = 1 if data_format == "channels_last" else 2
    for axis in (start, start + 1):
        before = (slice(None),) * axis
        neighbors = ops.concatenate(
            [
                images[(*before, slice(distance, None))],
                images[(*before, slice(-distance, None))],
            ],
            axis=axis,
        )
        images = (images + neighbors) / 2
    return images


@keras.saving.register_keras_serializable("keras_tricks")
class Shortcut(keras.layers.Layer):
    """The path around a residual branch.

    Identity where the input already has `filters` channels and `strides` is
    1. Otherwise a 1x1 convolution and a batch norm: the convolution takes the
    strides itself in variants A, B and C, and so ignores three quarters of
    its input; in variant D a 2x2 average pool of stride 2 comes first. At
    odd sizes the pool's last windows average only the pixels that exist.
    A shortcut that keeps the resolution has stride 1 in its place.

    Args:
        filters: Integer, the number of output channels.
        strides: 1 or 2. Defaults to 1.
        variant: `"A"`, `"B"`, `"C"` or `"D"`. Defaults to `"D"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        dilation: Integer, the distance between the pixels that the pool
            averages where the resolution is kept. Defaults to 1.
        keep_resolution: Whether nothing is strided, but at every
            `strides * dilation`-th pixel the output is that of the strided
            shortcut. Defaults to `False`.
        frozen_norm: Whether the batch norm is frozen, see
            `FrozenBatchNormalization`. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, variant or data format.

    Example:
    >>> shortcut = Shortcut(16, strides=2)
    >>> tuple(shortcut(keras.ops.ones((1, 7, 7, 8))).shape)
    (1, 4, 4, 16)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4.2
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        variant: str = "D",
        data_format: str | None = None,
        dilation: int = 1,
        keep_resolution: bool = False,
        frozen_norm: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, 1)
        self.strides = check_choice("strides", strides, (1, 2))
        self.variant = check_choice("variant", variant, VARIANTS)
        self.data_format = get_data_format(data_format)
        self.dilation = check_int("dilation", dilation, 1)
        self.keep_resolution = bool(keep_resolution)
        self.frozen_norm = bool(frozen_norm)
        self._pooled = self.variant == "D" and self.strides > 1
        self._strides = 1 if self.keep_resolution else self.strides
        self.pool: keras.layers.Layer | None = None
        self.projection: ConvNorm | None = None

    def build(self, input_shape: Shape) -> None:
        axis = get_axis(self.data_format)
        if self.strides == 1 and input_shape[axis] == self.filters:
            self.built = True
            return
        options = {
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        if self._pooled and self._strides > 1:
            # A 2x2 window of stride 2 is padded at the far end only, and
            # Keras leaves the padding out of the average: ceil mode.
            self.pool = keras.layers.AveragePooling2D(
                2, padding="same", name="pool", **options
            )
            input_shape = self.pool.compute_output_shape(input_shape)
        self.projection = ConvNorm(
            self.filters,
            1,
            strides=1 if self._pooled else self._strides,
            frozen_norm=self.frozen_norm,
            name="projection",
            **options,
        )
        self.projection.build(input_shape)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = inputs
        if self.pool is not None:
            x = self.pool(x)
        elif self._pooled:
            x = average_neighbors(x, self.dilation, self.data_format)
        if self.projection is not None:
            x = self.projection(x, training=training)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = [
            size if size is None else -(-size // self._strides)
            for size in input_shape
        ]
        shape[0] = input_shape[0]
        shape[get_axis(self.data_format)] = self.filters
        return tuple(shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "variant": self.variant,
            "data_format": self.data_format,
            "dilation": self.dilation,
            "keep_resolution": self.keep_resolution,
            "frozen_norm": self.frozen_norm,
        }
