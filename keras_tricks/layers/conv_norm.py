from typing import Any

import keras

from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks._types import Activation, Shape, Tensor
from keras_tricks.layers._convolution import (
    PaddedConv2D,
    PaddedDepthwiseConv2D,
    pair,
)
from keras_tricks.layers.batch_norm import BatchNormalization
from keras_tricks.layers.frozen_norm import FrozenBatchNormalization

MOMENTUM = 0.9
"""Momentum of the batch norms of the paper's networks."""

VARIANTS = ("A", "B", "C", "D")
"""The paper's four networks of one depth."""

DATA_FORMATS = ("channels_last", "channels_first")

PADDINGS = ("same", "valid", "end")


def get_data_format(data_format: str | None) -> str:
    """Return the given data format, or Keras' default for `None`."""
    if data_format is None:
        return keras.config.image_data_format()
    return check_choice("data_format", data_format, DATA_FORMATS)


def get_activation(activation):
    """Return the activation function of a name, a function or `None`."""
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


def get_axis(data_format: str) -> int:
    """Return the axis of the channels."""
    return -1 if data_format == "channels_last" else 1


def _check_kernel_size(kernel_size):
    """Return an odd integer or a tuple of two."""
    if not isinstance(kernel_size, tuple | list):
        kernel_size = check_int("kernel_size", kernel_size, 1)
    elif len(kernel_size) == 2:
        kernel_size = tuple(
            check_int("kernel_size", size, 1) for size in kernel_size
        )
    else:
        raise ValueError(
            "`kernel_size` must be an integer or two. "
            f"Received: kernel_size={kernel_size}"
        )
    if any(size % 2 == 0 for size in pair(kernel_size)):
        raise ValueError(
            "`kernel_size` must be odd, so that padding is symmetric. "
            f"Received: kernel_size={kernel_size}"
        )
    return kernel_size


@keras.saving.register_keras_serializable("keras_tricks")
class ConvNorm(keras.layers.Layer):
    """Convolution without bias, batch norm, and an optional activation.

    `y = activation(batch_norm(conv(x)))`

    Padding is `dilation * (kernel_size // 2)` on every side, whatever the
    strides, as in the paper's networks. (The `"same"` of Keras pads strided
    convolutions of an even number of pixels at the end only.) Kernels start
    Glorot (Xavier) uniform; the norm has momentum 0.9.

    Args:
        filters: Integer, the number of output channels; `None` with
            `depthwise`.
        kernel_size: Odd integer, or two for height and width. Defaults to 3.
        strides: 1 or 2. Defaults to 1.
        activation: Name or function. Defaults to `None`, linear.
        zero_gamma: Whether the norm's gamma starts at 0 instead of 1.
            Defaults to `False`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        padding: `"same"` as above, `"valid"` for none, or `"end"` for the
            `"same"` of Keras, which weights of TensorFlow need. Defaults to
            `"same"`.
        dilation: Integer, the distance between the pixels that the kernel
            sees; only with strides 1. Defaults to 1.
        depthwise: Whether each channel is convolved on its own, which keeps
            their number. Defaults to `False`.
        epsilon: Of the norm. Defaults to 1e-5.
        frozen_norm: Whether the norm is a `FrozenBatchNormalization`.
            Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For an even kernel, unknown strides, padding, activation
            or data format, strides together with dilation, or filters together
            with depthwise.

    Example:
    >>> layer = ConvNorm(16, 3, strides=2, activation="relu")
    >>> tuple(layer(keras.ops.ones((2, 9, 9, 3))).shape)
    (2, 5, 5, 16)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int] = 3,
        strides: int = 1,
        activation: Activation = None,
        zero_gamma: bool = False,
        data_format: str | None = None,
        padding: str = "same",
        dilation: int = 1,
        depthwise: bool = False,
        epsilon: float = 1e-5,
        frozen_norm: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.depthwise = bool(depthwise)
        if self.depthwise and filters is not None:
            raise ValueError(
                "`filters` must be None with depthwise=True, which keeps the "
                f"channels. Received: filters={filters}"
            )
        self.filters = None if depthwise else check_int("filters", filters, 1)
        self.kernel_size = _check_kernel_size(kernel_size)
        self.strides = check_choice("strides", strides, (1, 2))
        self.activation = get_activation(activation)
        self.zero_gamma = bool(zero_gamma)
        self.data_format = get_data_format(data_format)
        self.padding = check_choice("padding", padding, PADDINGS)
        self.dilation = check_int("dilation", dilation, 1)
        if self.strides > 1 and self.dilation > 1:
            raise ValueError(
                "`dilation` must be 1 where `strides` is not. "
                f"Received: dilation={dilation}, strides={strides}"
            )
        self.epsilon = check_real("epsilon", epsilon, 0)
        self.frozen_norm = bool(frozen_norm)
        self.conv = self._convolution(
            kernel_size=self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            # Of a 1x1 it would change nothing, but cost TensorFlow copies.
            dilation_rate=self.dilation if self.kernel_size != 1 else 1,
            data_format=self.data_format,
            use_bias=False,
            dtype=self.dtype_policy,
            name="conv",
        )
        norm = (
            FrozenBatchNormalization if self.frozen_norm else BatchNormalization
        )
        self.norm = norm(
            axis=get_axis(self.data_format),
            momentum=MOMENTUM,
            epsilon=self.epsilon,
            gamma_initializer="zeros" if self.zero_gamma else "ones",
            dtype=self.dtype_policy,
            name="norm",
        )

    def _convolution(self, **options):
        if self.depthwise:
            return PaddedDepthwiseConv2D(
                depthwise_initializer="glorot_uniform", **options
            )
        return PaddedConv2D(
            self.filters, kernel_initializer="glorot_uniform", **options
        )

    def build(self, input_shape: Shape) -> None:
        self.conv.build(input_shape)
        self.norm.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = self.norm(self.conv(inputs), training=training)
        return self.activation(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.conv.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": keras.activations.serialize(self.activation),
            "zero_gamma": self.zero_gamma,
            "data_format": self.data_format,
            "padding": self.padding,
            "dilation": self.dilation,
            "depthwise": self.depthwise,
            "epsilon": self.epsilon,
            "frozen_norm": self.frozen_norm,
        }
