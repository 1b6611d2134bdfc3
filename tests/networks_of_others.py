"""Functions that build networks, as users have them, for `module:function`."""

import keras
import numpy as np
from keras import layers

from keras_tricks.data import Preprocessing


def residual(input_shape, num_classes, activation=None):
    """A small residual network, whatever the layout of its images."""
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1

    def conv_norm(x, activation=None):
        x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(axis=axis)(x)
        return layers.ReLU()(x) if activation else x

    images = keras.Input(input_shape)
    x = conv_norm(images, "relu")
    for _ in range(2):
        x = layers.ReLU()(layers.Add()([x, conv_norm(conv_norm(x, "relu"))]))
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(num_classes, activation=activation, name="head")(x)
    return keras.Model(images, outputs, name="mine")


def softmax(input_shape, num_classes):
    return residual(input_shape, num_classes, "softmax")


def other_classes(input_shape, num_classes):
    return residual(input_shape, num_classes + 3)


def plain(input_shape, num_classes):
    """Without norms, ReLUs or branches, and with a Sequential's structure."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(4, 3, activation="tanh"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(num_classes),
        ],
        name="plain",
    )


def normalized(input_shape, num_classes):
    """Says itself how its images are normalized."""
    model = residual(input_shape, num_classes)
    model.preprocessing = Preprocessing(mean=(1, 2, 3), std=(4, 5, 6))
    return model


def ends_in_a_map(input_shape, num_classes):
    images = keras.Input(input_shape)
    x = layers.Conv2D(num_classes, 3)(images)
    return keras.Model(images, layers.GlobalAveragePooling2D()(x), name="map")


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """A model whose calls are in code, not in a graph."""

    def __init__(self, num_classes, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.activation = num_classes, activation
        self.conv = layers.Conv2D(4, 3, activation="relu")
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(num_classes, activation=activation)

    def call(self, images):
        return self.dense(self.pool(self.conv(images)))

    def get_config(self):
        own = {"num_classes": self.num_classes, "activation": self.activation}
        return {**super().get_config(), **own}


def subclassed(input_shape, num_classes):
    model = Subclassed(num_classes)
    model(np.zeros((1, *input_shape), "float32"))
    return model


def seven_classes(input_shape, num_classes):
    return subclassed(input_shape, 7)


def subclassed_softmax(input_shape, num_classes):
    model = Subclassed(num_classes, "softmax")
    model(np.zeros((1, *input_shape), "float32"))
    return model


def returns_a_layer(input_shape, num_classes):
    return layers.Dense(num_classes)


def of_other_arguments(size):
    return residual((size, size, 3), 2)


no_function = 3
