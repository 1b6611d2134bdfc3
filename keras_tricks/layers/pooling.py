from typing import Any

import keras

from keras_tricks._backend import images
from keras_tricks._checks import check_choice
from keras_tricks._types import Shape, Tensor
from keras_tricks.layers._convolution import pad_images, padded_shape
from keras_tricks.layers.conv_norm import get_data_format


@keras.saving.register_keras_serializable("keras_tricks")
class PaddedPooling2D(keras.layers.Layer):
    """Pooling of 3x3 windows, padded by one pixel on every side.

    The padding never wins a maximum: it is minus infinity. In an average it
    counts, as zeros. (The `"same"` of Keras pads pools of stride 2 on one
    side only, and leaves the padding out of averages.)

    Args:
        kind: `"max"` or `"average"`.
        strides: 1 or 2. Defaults to 1.
        padding: `"same"` as above, or `"valid"` for none. Defaults to
            `"same"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: For an unknown kind, strides, padding or data format.

    Example:
    >>> images = -keras.ops.ones((1, 5, 5, 1))
    >>> y = PaddedPooling2D("max", strides=2)(images)
    >>> y = keras.ops.convert_to_numpy(y)
    >>> y.shape, float(y.max())
    ((1, 3, 3, 1), -1.0)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4.1
    """

    def __init__(
        self,
        kind: str,
        strides: int = 1,
        padding: str = "same",
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kind = check_choice("kind", kind, ("max", "average"))
        self.strides = check_choice("strides", strides, (1, 2))
        self.padding = check_choice("padding", padding, ("same", "valid"))
        self.data_format = get_data_format(data_format)
        self._padding = 1 if self.padding == "same" else 0
        pool = (
            keras.layers.MaxPooling2D
            if self.kind == "max"
            else keras.layers.AveragePooling2D
        )
        self.pool = pool(
            3,
            strides=self.strides,
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name="pool",
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        if images.has_image_kernels():
            return images.pool(
                inputs,
                self.kind,
                self.strides,
                self._padding,
                self.data_format,
            )
        x = inputs
        if self._padding:
            # Not all activations are ReLU: zeros could win a maximum.
            value = float("-inf") if self.kind == "max" else 0.0
            x = pad_images(x, self._padding, self.data_format, value=value)
        return self.pool(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.pool.compute_output_shape(
            padded_shape(input_shape, self._padding, self.data_format)
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "kind": self.kind,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }
