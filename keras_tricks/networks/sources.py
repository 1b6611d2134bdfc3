"""Where the networks of others come from."""

import dataclasses
import importlib
import inspect
import os
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_tricks._checks import first_line
from keras_tricks._untrusted import check_weights, load_model
from keras_tricks.data import Preprocessing
from keras_tricks.data.preprocessing_file import read_preprocessing
from keras_tricks.networks.normalization import (
    measure_normalization,
    mend_normalization,
)

_IMAGENET_CLASSES = 1000


@dataclasses.dataclass
class Found:
    """A network as it is found, not yet fitted to a recipe.

    Attributes:
        model: The model.
        preprocessing: How its images are normalized, if its source tells.
        origin: Where its weights come from.
        trained: Whether they are trained; else they tell themselves.
        fresh_head: Whether its last layer is random although others are not.
        has_policies: Whether its layers were saved with dtype policies.
    """

    model: keras.Model
    preprocessing: Preprocessing | None = None
    origin: str = "random weights"
    trained: bool = True
    fresh_head: bool = False
    has_policies: bool = False


def find_application(name, shape, num_classes, weights, skip_head) -> Found:
    """Build a network of `keras.applications`.

    Keras' own weights fit images of another size, and other classes, without
    the last layers only: these are then a mean over the map, and a new dense
    layer. A file of weights may hold the whole network or not.
    """
    if weights is None:
        whole = None not in shape
        make = _whole if whole else _with_new_head
        return Found(make(name, shape, num_classes, None), trained=False)
    module = inspect.getmodule(getattr(keras.applications, name))

    def normalize(images):
        return module.preprocess_input(images, data_format="channels_last")

    preprocessing = measure_normalization(normalize)
    if Path(weights).is_file():
        beside = read_preprocessing(Path(weights).parent)
        model, fresh = _from_file(name, shape, num_classes, weights)
        mended = mend_normalization(model)
        note = ", whose deviations of images stood as variances"
        return Found(
            model,
            beside or preprocessing,
            f"weights of {weights}{note if mended else ''}",
            fresh_head=fresh,
        )
    if weights != "imagenet":
        raise ValueError(
            f"`weights` must be 'imagenet' or a file for applications/{name}. "
            f"Received: weights={weights!r}"
        )
    fresh = skip_head or num_classes not in (None, _IMAGENET_CLASSES)
    make = _with_new_head if fresh else _whole
    model = make(name, shape, num_classes, weights)
    return Found(model, preprocessing, "weights of ImageNet", fresh_head=fresh)


def _whole(name, shape, num_classes, weights):
    return _construct(
        name,
        weights=weights,
        # Its own size, where any will do.
        input_shape=None if None in shape else shape,
        classes=num_classes or _IMAGENET_CLASSES,
        classifier_activation=None,
    )


def _with_new_head(name, shape, num_classes, weights):
    return _put_head(_features(name, shape, weights), num_classes)


def _features(name, shape, weights):
    return _construct(
        name,
        weights=weights,
        input_shape=shape,
        include_top=False,
        pooling="avg",
    )


def _put_head(features, num_classes):
    head = keras.layers.Dense(num_classes, dtype="float32", name="logits")
    outputs = head(features.output)
    return keras.Model(features.inputs, outputs, name=features.name)


def _construct(name, **options):
    try:
        return getattr(keras.applications, name)(**options)
    except ValueError as error:
        raise ValueError(
            f"`model` must be a network for these images and weights "
            f"({first_line(error)}). Received: model='applications/{name}', "
            f"images of shape {options['input_shape']}, "
            f"weights={options['weights']!r}"
        ) from error
    except Exception as error:  # Keras raises plain ones if a download fails.
        raise RuntimeError(
            f"`weights` must be in reach ({first_line(error)}). Received: "
            f"weights={options['weights']!r} of applications/{name}"
        ) from error


def _from_file(name, shape, num_classes, weights):
    """Return a network that a file of weights fits, and if its head is new."""
    counts = dict.fromkeys(
        (num_classes or _IMAGENET_CLASSES, _IMAGENET_CLASSES)
    )
    if None in shape and num_classes is not None:
        counts = {}  # Images of several sizes.
    try:
        check_weights(weights)
        for count in counts:
            model = _whole(name, shape, count, None)
            if _loads(model, weights):
                return model, False
        features = _features(name, shape, None)
        if _loads(features, weights):
            return _put_head(features, num_classes), True
        raise ValueError("its layers are others")
    except ValueError as error:
        raise ValueError(
            f"`weights` must be those of applications/{name}, in an .h5 of "
            f"Keras ({first_line(error)}). Received: weights={weights!r}"
        ) from error


def _loads(model, weights):
    """Load weights; return whether they are all that the model needs."""
    try:
        with warnings.catch_warnings():
            # Keras warns of layers that stay as they are.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(weights)
    except (ValueError, KeyError, UserWarning):
        return False
    return True


def find_preset(preset, shape, num_classes, weights, skip_head) -> Found:
    """Load an image classifier of KerasHub, or a backbone with a new head."""
    try:
        import keras_hub
    except ImportError:
        raise ImportError(
            "Networks of KerasHub need its package: `pip install "
            f"\"keras_tricks[hub]\"`. Received: model='hub/{preset}'"
        ) from None
    load = keras_hub.models.ImageClassifier.from_preset
    fresh = False
    try:
        try:
            task = load(preset)
        except TypeError:  # A backbone, whose head needs to know.
            task, fresh = load(preset, num_classes=num_classes), True
    except Exception as error:
        raise ValueError(
            "`model` must be hub/ and the preset of an image classifier of "
            f"KerasHub ({first_line(error)}). Received: model='hub/{preset}'"
        ) from error
    converter = getattr(task.preprocessor, "image_converter", None)
    known = None if converter is None else _measure(converter)
    model = keras.Model(task.inputs, task.outputs, name=task.name)
    origin = f"weights of the preset {preset}"
    return Found(model, known, origin, fresh_head=fresh)


def _measure(converter):
    def normalize(images):
        first = keras.config.image_data_format() == "channels_first"
        images = images.transpose(0, 3, 1, 2) if first else images
        result = np.asarray(keras.ops.convert_to_numpy(converter(images)))
        return result.transpose(0, 2, 3, 1) if first else result

    size = getattr(converter, "image_size", None) or (224, 224)
    return measure_normalization(normalize, tuple(size))


def find_file(path, shape, num_classes, weights, skip_head) -> Found:
    """Load a saved model; a `preprocessing.json` may be beside it."""
    try:
        model = load_model(path)
    except ValueError as error:
        raise ValueError(
            "`model` must be a .keras file, of layers that are known here: "
            "one with classes of your own is loaded by your own function, "
            f"model=module:function ({first_line(error)}). "
            f"Received: model={path!r}"
        ) from None
    known = read_preprocessing(Path(path).parent)
    return Found(model, known, "its own weights", has_policies=True)


def call_function(name, shape, num_classes, weights, skip_head) -> Found:
    """Call a function of the user's own code that builds a network."""
    if num_classes is None:
        raise ValueError(
            "`classes` must be given, since the function needs to know how "
            f"many there are. Received: model={name!r}"
        )
    module, _, attribute = name.partition(":")
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            "`model` must be module:function of a module that can be imported "
            f"({first_line(error)}). Received: model={name!r}"
        ) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    if not callable(function):
        raise ValueError(
            "`model` must be module:function, something that can be called. "
            f"Received: model={name!r}, a {type(function).__name__}"
        )
    try:
        model = function(input_shape=shape, num_classes=num_classes)
    except TypeError as error:
        raise ValueError(
            "`model` must be a function of the keyword arguments input_shape "
            f"and num_classes ({first_line(error)}). Received: model={name!r}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`model` must be a function that returns a Keras model. "
            f"Received: model={name!r}, which returns a "
            f"{type(model).__name__}"
        )
    return Found(model, origin=f"what {name} returns", trained=False)


SOURCES = {
    "applications": find_application,
    "hub": find_preset,
    "file": find_file,
    "function": call_function,
}
"""By kind of name: functions that return what is `Found`."""
