import keras

from keras_tricks._checks import check_choice, check_int
from keras_tricks.layers.conv_norm import (
    VARIANTS,
    ConvNorm,
    get_activation,
    get_data_format,
)
from keras_tricks.layers.shortcut import Shortcut


class _ResidualBlock(keras.layers.Layer):
    """What the two blocks share; subclasses say which convolutions."""

    expansion = 1

    def __init__(
        self,
        filters,
        strides=1,
        variant="D",
        zero_gamma=True,
        activation="relu",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, 1)
        self.strides = check_choice("strides", strides, (1, 2))
        self.variant = check_choice("variant", variant, VARIANTS)
        self.zero_gamma = bool(zero_gamma)
        self.activation = get_activation(activation)
        self.data_format = get_data_format(data_format)
        options = {
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        self.convs = [
            ConvNorm(
                *step, activation=self.activation, name=f"conv{i}", **options
            )
            for i, step in enumerate(self._inner_convolutions(), start=1)
        ]
        outputs = self.filters * self.expansion
        self.convs.append(
            ConvNorm(
                outputs,
                self.last_kernel_size,
                zero_gamma=self.zero_gamma,
                name=f"conv{len(self.convs) + 1}",
                **options,
            )
        )
        self.shortcut = Shortcut(
            outputs, self.strides, self.variant, name="shortcut", **options
        )

    @property
    def residual_norm(self):
        """The batch norm that ends the residual branch."""
        return self.convs[-1].norm

    def build(self, input_shape):
        self.shortcut.build(input_shape)
        for conv in self.convs:
            conv.build(input_shape)
            input_shape = conv.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        x = inputs
        for conv in self.convs:
            x = conv(x, training=training)
        return self.activation(x + self.shortcut(inputs, training=training))

    def compute_output_shape(self, input_shape):
        return self.shortcut.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "variant": self.variant,
            "zero_gamma": self.zero_gamma,
            "activation": keras.activations.serialize(self.activation),
            "data_format": self.data_format,
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
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, variant, activation or data format.

    Example:
    >>> block = BasicBlock(16, strides=2)
    >>> tuple(block(keras.ops.ones((1, 7, 7, 8))).shape)
    (1, 4, 4, 16)

    Reference:
        [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 3.1
        (zero gamma) and 4.
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
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For unknown strides, variant, activation or data format.

    Example:
    >>> block = BottleneckBlock(8, strides=2)
    >>> tuple(block(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 4, 4, 32)

    Reference:
        [He et al., 2018](https://arxiv.org/abs/1812.01187), sections 3.1
        (zero gamma) and 4.
    """

    expansion = 4
    last_kernel_size = 1

    def _inner_convolutions(self):
        first, second = (
            (self.strides, 1) if self.variant == "A" else (1, self.strides)
        )
        return [(self.filters, 1, first), (self.filters, 3, second)]
