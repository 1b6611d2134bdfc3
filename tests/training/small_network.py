"""A network for tests in which the run around it is what matters."""

import keras
from keras import layers

from keras_tricks import training


def small_network(recipe, image_shape, num_classes):
    """Stands in for a ResNet; its dropout has a state of its own."""
    keras.utils.set_random_seed(recipe.seed)
    data_format = training.input.choose_data_format(recipe)
    axis = -1
    if data_format == "channels_first":
        image_shape, axis = (image_shape[2], *image_shape[:2]), 1
    form = {"data_format": data_format}
    images = keras.Input(image_shape)
    x = layers.Conv2D(4, 3, strides=2, activation="relu", **form)(images)
    x = layers.BatchNormalization(axis=axis)(x)
    x = layers.GlobalAveragePooling2D(**form)(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(images, layers.Dense(num_classes)(x), name="small")
