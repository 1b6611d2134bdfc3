"""How a network expects its images to be normalized."""

from collections.abc import Callable

import keras
import numpy as np

from keras_tricks._image_size import ImageSize
from keras_tricks.data import Preprocessing
from keras_tricks.surgery.graph import flatten
from keras_tricks.surgery.rebuild import finish_normalization

_RESCALES = (keras.layers.Rescaling, keras.layers.Normalization)
_IMAGENET_STD = 0.229, 0.224, 0.225  # As Keras' EfficientNet rounds it.
_PROBES = np.concatenate(
    [np.zeros((1, 3)), 255 * np.eye(3), [[31.0, 127.0, 224.0]]]
)
_SIDE = 8


def measure_normalization(
    function: Callable, image_size: ImageSize = 224
) -> Preprocessing | None:
    """Find the mean, standard deviation and channels that a function applies.

    Of `y_c = (x_k(c) - mean_c) / std_c`, where `k` keeps or reverses the
    order RGB, the three are found from images of one color each: black, red,
    green, blue, and a last one to test that it is such a function. So it is
    not needed to know what a `preprocess_input` of `keras.applications` or an
    image converter of KerasHub does.

    Args:
        function: Takes RGB images, float32 in 0 ... 255 of shape
            `(5, 8, 8, 3)`, and returns images, of any size.
        image_size: That of the result. Defaults to 224.

    Returns:
        A `keras_tricks.data.Preprocessing`, or `None` if the function does
        something else.

    Example:
    >>> vgg = measure_normalization(keras.applications.vgg16.preprocess_input)
    >>> vgg.channels, vgg.mean, vgg.std
    ('BGR', (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
    """
    images = np.tile(
        _PROBES[:, None, None].astype("float32"), (1, _SIDE, _SIDE, 1)
    )
    y = keras.ops.convert_to_numpy(function(images.copy()))
    y = y.astype("float64").mean((1, 2))
    for channels in ("RGB", "BGR"):
        x = _PROBES if channels == "RGB" else _PROBES[:, ::-1]
        # Of the probe that has only the channel itself.
        own = y[1:4] if channels == "RGB" else y[3:0:-1]
        slopes = (np.diag(own) - y[0]) / 255
        if (slopes <= 0).any():
            continue
        mean = np.round(-y[0] / slopes, 4) + 0.0
        std = np.round(1 / slopes, 4)
        if np.allclose((x - mean) / std, y, rtol=1e-4, atol=1e-3):
            return Preprocessing(
                image_size,
                mean=tuple(mean.tolist()),
                std=tuple(std.tolist()),
                channels=channels,
            )
    return None


def rescales_itself(model: keras.Model) -> bool:
    """Return whether a network begins with a normalization of its own.

    It is one if all that takes its images is a `Rescaling` or a
    `Normalization` layer: such a network takes pixels in 0 ... 255.

    Example:
    >>> layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    >>> rescales_itself(keras.Sequential([keras.Input((8, 8, 3)), *layers]))
    True
    """
    first = [
        child
        for node in flatten(model)
        if not node.parents
        for child in node.children
    ]
    return bool(first) and all(
        isinstance(node.operation, _RESCALES) for node in first
    )


def mend_normalization(model: keras.Model) -> bool:
    """Let a network divide images by deviations whose root it would take.

    The ImageNet weights of EfficientNet have standard deviations where a
    `Normalization` layer expects variances. Keras makes up for it by one more
    layer with `weights="imagenet"`, and not where the same weights come from
    a file. Whether they are such weights is measured on what the first layers
    compute; those of a network that was trained without them stay.

    Args:
        model: The network with its weights; if need be, it changes.

    Returns:
        Whether it changed.

    Example:
    >>> layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    >>> mend_normalization(keras.Sequential([keras.Input((8, 8, 3)), *layers]))
    False
    """
    layers = []
    for node in flatten(model):
        if isinstance(node.operation, _RESCALES):
            layers.append(node.operation)
        elif node.parents:
            break

    def normalize(images):
        for layer in layers:
            images = layer(images)
        return images

    last = layers[-1] if layers else None
    if not isinstance(last, keras.layers.Normalization) or not last.weights:
        return False
    found = measure_normalization(normalize)
    squares = np.square(found.std if found else (0.0,) * 3) / 255**2
    if not np.allclose(squares, _IMAGENET_STD, rtol=1e-3):
        return False
    last.adapt_variance.assign(np.square(_IMAGENET_STD))
    finish_normalization(last)
    return True


def pixels_as_they_are(image_size: ImageSize, channels: int) -> Preprocessing:
    """Return the preprocessing of a network that takes 0 ... 255.

    Example:
    >>> pixels_as_they_are(32, 1).channels
    'L'
    """
    return Preprocessing(
        image_size,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        channels="L" if channels == 1 else "RGB",
    )
