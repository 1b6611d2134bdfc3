from typing import Any

import keras

from keras_tricks._checks import check_choice, check_int
from keras_tricks._types import Activation, Shape, Tensor
from keras_tricks.layers.conv_norm import (
    VARIANTS,
    ConvNorm,
    get_activation,
    get_data_format,
)
from keras_tricks.layers.pooling import PaddedPooling2D


@keras.saving.register_keras_serializable("keras_tricks")
class Stem(keras.layers.Layer):
    """First layers of a ResNet: from the image to the first stage.

    Variants A and B: one 7x7 convolution of stride 2. Variants C and D (the
    deep stem): 3x3 of stride 2, 3x3, 3x3, the first two with half the
    filters. Each convolution has its batch norm and activation; a 3x3 max
    pool of stride 2, padded by 1 with minus infinity, follows. The form for
    small images (28 to 64 pixels) keeps the resolution: one 3x3 (A, B) or
    three 3x3 (C, D) of stride 1, and no max pool.

    Args:
        variant: `"A"`, `"B"`, `"C"` or `"D"`. Defaults to `"D"`.
        filters: Integer, the number of output channels; even for C and D.
            Defaults to 64.
        activation: Name or function. Defaults to `"relu"`.
        small_images: Whether to keep the resolution. Defaults to `False`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for
            Keras' default.
        frozen_norm: Whether the batch norms are frozen, see
            `FrozenBatchNormalization`. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`, or channels first.

    Output shape: height and width are divided by 4 (rounded up), or kept for
    small images; `filters` channels.

    Raises:
        ValueError: For an unknown variant, activation or data format, or odd
            filters in a deep stem.

    Example:
    >>> tuple(Stem("D", filters=8)(keras.ops.ones((1, 32, 32, 3))).shape)
    (1, 8, 8, 8)
    >>> stem = Stem("D", filters=8, small_images=True)
    >>> tuple(stem(keras.ops.ones((1, 32, 32, 3))).shape)
    (1, 32, 32, 8)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4.2
    """

    def __init__(
        self,
        variant: str = "D",
        filters: int = 64,
        activation: Activation = "relu",
        small_images: bool = False,
        data_format: str | None = None,
        frozen_norm: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.variant = check_choice("variant", variant, VARIANTS)
        self.filters = check_int("filters", filters, 1)
        self.activation = get_activation(activation)
        self.small_images = bool(small_images)
        self.data_format = get_data_format(data_format)
        self.frozen_norm = bool(frozen_norm)
        strides = 1 if self.small_images else 2
        if self.variant in "CD":
            if filters % 2:
                raise ValueError(
                    "`filters` must be even for the deep stem of variants C "
                    f"and D. Received: filters={filters}"
                )
            plan = [(filters // 2, 3, strides), (filters // 2, 3, 1)]
            plan.append((filters, 3, 1))
        else:
            plan = [(filters, 3 if self.small_images else 7, strides)]
        self.convs = [
            ConvNorm(
                *step,
                activation=self.activation,
                data_format=self.data_format,
                frozen_norm=self.frozen_norm,
                dtype=self.dtype_policy,
                name=f"conv{index}",
            )
            for index, step in enumerate(plan, start=1)
        ]
        self.pool = PaddedPooling2D(
            "max",
            strides=2,
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name="pool",
        )

    def build(self, input_shape: Shape) -> None:
        for conv in self.convs:
            conv.build(input_shape)
            input_shape = conv.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = inputs
        for conv in self.convs:
            x = conv(x, training=training)
        return x if self.small_images else self.pool(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        for conv in self.convs:
            input_shape = conv.compute_output_shape(input_shape)
        if self.small_images:
            return input_shape
        return self.pool.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "variant": self.variant,
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "small_images": self.small_images,
            "data_format": self.data_format,
            "frozen_norm": self.frozen_norm,
        }
