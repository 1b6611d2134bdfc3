"""Convolutions with the padding of the paper's networks."""

from typing import Any

import keras
from keras import ops

from keras_tricks._backend import images
from keras_tricks._types import Shape, Tensor


def pair(value) -> tuple:
    """Return one number or two as two."""
    return (value, value) if isinstance(value, int) else tuple(value)


def pad_images(x, padding, data_format: str, value: float = 0.0):
    """Pad a batch on every side, by one amount or by (height, width)."""
    height, width = pair(padding)
    widths = [(0, 0), (height, height), (width, width)]
    last = data_format == "channels_last"
    widths.insert(3 if last else 1, (0, 0))
    return ops.pad(x, widths, constant_values=value)


def padded_shape(shape, padding, data_format: str) -> tuple:
    """Return the shape that `pad_images` gives."""
    start = 1 if data_format == "channels_last" else 2
    shape = list(shape)
    for axis, amount in enumerate(pair(padding), start):
        if shape[axis] is not None:
            shape[axis] += 2 * amount
    return tuple(shape)


class _PaddedConvolution(keras.layers.Layer):
    """Take `"same"` as `dilation * (size // 2)` pixels on every side.

    `"end"` is the `"same"` of Keras. Kernels are odd.
    """

    def __init__(self, *args: Any, padding: str, **options: Any):
        sizes = pair(options["kernel_size"])
        strides, dilation = options["strides"], options["dilation_rate"]
        # Stride 1 needs no copy: there Keras' "same" is symmetric.
        copies = padding == "same" and strides > 1
        valid = copies or padding == "valid"
        super().__init__(*args, padding="valid" if valid else "same", **options)
        self._sides = tuple(
            dilation * (size // 2) * (padding != "valid") for size in sizes
        )
        self._copied = self._sides if copies else (0, 0)
        self._symmetric = padding != "end" or strides == 1

    def build(self, input_shape: Shape) -> None:
        super().build(padded_shape(input_shape, self._copied, self.data_format))
        images.lay_out(self.kernel)

    def call(self, inputs: Tensor) -> Tensor:
        if self._symmetric and images.has_image_kernels():
            return images.convolve(
                inputs,
                self._grouped_kernel(),
                self.strides,
                self._sides,
                self.dilation_rate,
                self.data_format,
            )
        if any(self._copied):
            inputs = pad_images(inputs, self._copied, self.data_format)
        return super().call(inputs)

    def _grouped_kernel(self):
        return ops.convert_to_tensor(self.kernel)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return super().compute_output_shape(
            padded_shape(input_shape, self._copied, self.data_format)
        )


class PaddedConv2D(_PaddedConvolution, keras.layers.Conv2D):
    """Convolution without bias."""


class PaddedDepthwiseConv2D(_PaddedConvolution, keras.layers.DepthwiseConv2D):
    """Depthwise convolution without bias."""

    def _grouped_kernel(self):
        return ops.swapaxes(self.kernel, 2, 3)
