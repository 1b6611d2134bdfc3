from typing import Any

import keras

from keras_tricks._checks import check_choice, check_int
from keras_tricks._types import Activation, Shape, Tensor
from keras_tricks.layers.conv_norm import (
    ConvNorm,
    get_activation,
    get_data_format,
)


@keras.saving.register_keras_serializable("keras_tricks")
class SeparableBlock(keras.layers.Layer):
    """Depthwise separable block of MobileNet: 3x3 per channel, then 1x1.

    `y = activation(norm(pointwise(activation(norm(depthwise(x))))))`

    Args:
        filters: Integer, the number of output channels.
        strides: 1 or 2, of the depthwise convolution. Defaults to 1.
        activation: Name or function. Defaults to `"relu"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        dilation: Integer, the distance between neighboring pixels of the
            input in a network that keeps its resolution. Defaults to 1.
        keep_resolution: Whether nothing is strided, but at every
            `strides * dilation`-th pixel the output is that of the strided
            block. Defaults to `False`.
        frozen_norm: Whether the batch norms are frozen, see
            `FrozenBatchNormalization`. Defaults to `False`.
        padding: `"same"`, on all sides, or `"end"`, see `ConvNorm`. Defaults
            to `"same"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, activation, data format or padding,
            or a dilation below 1.

    Example:
    >>> block = SeparableBlock(16, strides=2)
    >>> tuple(block(keras.ops.ones((1, 7, 7, 8))).shape)
    (1, 4, 4, 16)

    Reference:
        - [Howard et al., 2017](https://arxiv.org/abs/1704.04861), section 3.1
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        activation: Activation = "relu",
        data_format: str | None = None,
        dilation: int = 1,
        keep_resolution: bool = False,
        frozen_norm: bool = False,
        padding: str = "same",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, 1)
        self.strides = check_choice("strides", strides, (1, 2))
        self.activation = get_activation(activation)
        self.data_format = get_data_format(data_format)
        self.dilation = check_int("dilation", dilation, 1)
        self.keep_resolution = bool(keep_resolution)
        self.frozen_norm = bool(frozen_norm)
        self.padding = check_choice("padding", padding, ("same", "end"))
        options = {
            "activation": self.activation,
            "data_format": self.data_format,
            "frozen_norm": self.frozen_norm,
            "dtype": self.dtype_policy,
        }
        self.depthwise = ConvNorm(
            None,
            3,
            strides=1 if self.keep_resolution else self.strides,
            dilation=self.dilation,
            depthwise=True,
            padding=self.padding,
            name="depthwise",
            **options,
        )
        self.pointwise = ConvNorm(self.filters, 1, name="pointwise", **options)

    def build(self, input_shape: Shape) -> None:
        self.depthwise.build(input_shape)
        self.pointwise.build(self.depthwise.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = self.depthwise(inputs, training=training)
        return self.pointwise(x, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.pointwise.compute_output_shape(
            self.depthwise.compute_output_shape(input_shape)
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "activation": keras.activations.serialize(self.activation),
            "data_format": self.data_format,
            "dilation": self.dilation,
            "keep_resolution": self.keep_resolution,
            "frozen_norm": self.frozen_norm,
            "padding": self.padding,
        }
