from typing import Any

import keras

from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks._types import Activation, Shape, Tensor
from keras_tricks.layers.conv_norm import (
    VARIANTS,
    ConvNorm,
    get_activation,
    get_data_format,
)
from keras_tricks.layers.drop_path import DropPath
from keras_tricks.layers.shortcut import Shortcut


class _ResidualBlock(keras.layers.Layer):
    """What the two blocks share; subclasses say which convolutions."""

    expansion = 1

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        variant: str = "D",
        zero_gamma: bool = True,
        activation: Activation = "relu",
        data_format: str | None = None,
        drop_path: float = 0.0,
        dilation: int = 1,
        keep_resolution: bool = False,
        frozen_norm: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, 1)
        self.strides = check_choice("strides", strides, (1, 2))
        self.variant = check_choice("variant", variant, VARIANTS)
        self.zero_gamma = bool(zero_gamma)
        self.activation = get_activation(activation)
        self.data_format = get_data_format(data_format)
        self.drop_path = check_real(
            "drop_path", drop_path, 0, 1, open_high=True
        )
        self.dilation = check_int("dilation", dilation, 1)
        self.keep_resolution = bool(keep_resolution)
        self.frozen_norm = bool(frozen_norm)
        options = {
            "data_format": self.data_format,
            "frozen_norm": self.frozen_norm,
            "dtype": self.dtype_policy,
        }
        self.convs: list[ConvNorm] = []
        for filters, kernel_size, strides in self._inner_convolutions():
            self.convs.append(
                ConvNorm(
                    filters,
                    kernel_size,
                    1 if self.keep_resolution else strides,
                    activation=self.activation,
                    dilation=dilation,
                    name=f"conv{len(self.convs) + 1}",
                    **options,
                )
            )
            if self.keep_resolution:
                dilation *= strides
        outputs = self.filters * self.expansion
        self.convs.append(
            ConvNorm(
                outputs,
                self.last_kernel_size,
                zero_gamma=self.zero_gamma,
                dilation=dilation,
                name=f"conv{len(self.convs) + 1}",
                **options,
            )
        )
        self.shortcut = Shortcut(
            outputs,
            self.strides,
            self.variant,
            dilation=self.dilation,
            keep_resolution=self.keep_resolution,
            name="shortcut",
            **options,
        )
        self._drop_path = None
        if self.drop_path:
            self._drop_path = DropPath(
                self.drop_path, dtype=self.dtype_policy, name="drop_path"
            )

    @property
    def residual_norm(self) -> keras.layers.Layer:
        """The batch norm that ends the residual branch."""
        return self.convs[-1].norm

    def build(self, input_shape: Shape) -> None:
        self.shortcut.build(input_shape)
        for conv in self.convs:
            conv.build(input_shape)
            input_shape = conv.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = inputs
        for conv in self.convs:
            x = conv(x, training=training)
        if self._drop_path is not None:
            x = self._drop_path(x, training=training)
        return self.activation(x + self.shortcut(inputs, training=training))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.shortcut.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "variant": self.variant,
            "zero_gamma": self.zero_gamma,
            "activation": keras.activations.serialize(self.activation),
            "data_format": self.data_format,
            "drop_path": self.drop_path,
            "dilation": self.dilation,
            "keep_resolution": self.keep_resolution,
            "frozen_norm": self.frozen_norm,
        }


@keras.saving.register_keras_serializable("keras_tricks")
class BasicBlock(_ResidualBlock):
    """Residual block of ResNet-18 and 34: two 3x3 convolutions.

    `y = activation(norm(conv(activation(norm(conv(x))))) + shortcut(x))`

    The first convolution takes the strides. With `zero_gamma` the last norm's
    gamma starts at 0, so the branch is silent and the block starts as its
    shortcut.

    Args:
        filters: Integer, the number of output channels.
        strides: 1 or 2. Defaults to 1.
        variant: `"A"`, `"B"`, `"C"` or `"D"`; only D differs here, in the
            shortcut. Defaults to `"D"`.
        zero_gamma: Whether the gamma that ends the branch starts at 0.
            Defaults to `True`.
        activation: Name or function. Defaults to `"relu"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        drop_path: Rate of a `DropPath` that ends the branch. Defaults to 0.
        dilation: Integer, the distance between neighboring pixels of the
            input in a network that keeps its resolution. Defaults to 1.
        keep_resolution: Whether the strides become dilation of what follows:
            the output has the size of the input, and at every
            `strides * dilation`-th pixel it is that of the strided block.
            Defaults to `False`.
        frozen_norm: Whether the batch norms are frozen, see
            `FrozenBatchNormalization`. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, variant, activation or data format,
            or a rate or dilation out of its range.

    Example:
    >>> block = BasicBlock(16, strides=2)
    >>> tuple(block(keras.ops.ones((1, 7, 7, 8))).shape)
    (1, 4, 4, 16)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 3.1
          (zero gamma) and 4
    """

    last_kernel_size = 3

    def _inner_convolutions(self):
        return [(self.filters, 3, self.strides)]


@keras.saving.register_keras_serializable("keras_tricks")
class BottleneckBlock(_ResidualBlock):
    """Residual block of ResNet-50, 101 and 152: 1x1, 3x3, 1x1.

    `y = activation(branch(x) + shortcut(x))`, where each convolution of the
    branch has its batch norm and the first two their activation. Variant A
    has the strides in the first 1x1, which ignores three quarters of its
    input; B, C and D have them in the 3x3. With `zero_gamma` the last norm's
    gamma starts at 0, so the branch is silent and the block starts as its
    shortcut.

    Args:
        filters: Integer, the channels of the 3x3; the block's output has four
            times as many.
        strides: 1 or 2. Defaults to 1.
        variant: `"A"`, `"B"`, `"C"` or `"D"`. Defaults to `"D"`.
        zero_gamma: Whether the gamma that ends the branch starts at 0.
            Defaults to `True`.
        activation: Name or function. Defaults to `"relu"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        drop_path: Rate of a `DropPath` that ends the branch. Defaults to 0.
        dilation: Integer, the distance between neighboring pixels of the
            input in a network that keeps its resolution. Defaults to 1.
        keep_resolution: Whether the strides become dilation of what follows:
            the output has the size of the input, and at every
            `strides * dilation`-th pixel it is that of the strided block.
            Defaults to `False`.
        frozen_norm: Whether the batch norms are frozen, see
            `FrozenBatchNormalization`. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, variant, activation or data format,
            or a rate or dilation out of its range.

    Example:
    >>> block = BottleneckBlock(8, strides=2)
    >>> tuple(block(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 4, 4, 32)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 3.1
          (zero gamma) and 4
    """

    expansion = 4
    last_kernel_size = 1

    def _inner_convolutions(self):
        first, second = (
            (self.strides, 1) if self.variant == "A" else (1, self.strides)
        )
        return [(self.filters, 1, first), (self.filters, 3, second)]
