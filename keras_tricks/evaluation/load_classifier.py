"""From what users have on disk to a `Classifier`."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import keras

from keras_tricks import _backend
from keras_tricks._checks import first_line
from keras_tricks._image_size import sides_of
from keras_tricks._model_facts.image_input import data_formats, image_sides
from keras_tricks._untrusted import load_model
from keras_tricks.data import Preprocessing
from keras_tricks.data.preprocessing_file import read_preprocessing
from keras_tricks.data.sources.class_names import ClassNames, read_class_names
from keras_tricks.evaluation.classifier import Classifier
from keras_tricks.models._constructors import CONSTRUCTORS
from keras_tricks.networks import build_network
from keras_tricks.networks.names import is_built
from keras_tricks.recipe import Recipe
from keras_tricks.training import load_data

CLASSES_FILE = "classes.json"


def load_classifier(
    model: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    classes: str | os.PathLike | None = None,
    model_args: dict | None = None,
    multi_label: bool = False,
    **changes: Any,
) -> Classifier:
    """Load a network with all that it needs to classify images.

    The preprocessing is what belongs to the weights: a `preprocessing.json`
    beside them; or that of the model, which pretrained weights and training
    runs give it. `changes` replace parts of it. Where nothing is known, `mean`
    and `std` must be given.

    Args:
        model: A `.keras` file, the folder of a training run (its
            `last.keras` is taken), the name of a model in
            `keras_tricks.models`, such as `"ResNet50D"`, or a name of
            `keras_tricks.networks.build_network`, such as
            `"applications/VGG16"`.
        weights: What a named model is filled with: a file, or a name on the
            hub, see `keras_tricks.models.load_weights_from`; of
            `applications/NAME` also `"imagenet"`. Defaults to `None`.
        classes: A file of class names, see `read_class_names`. Defaults to
            the class names of the training run, if there is one.
        model_args: Arguments of a named model, such as `activation`. Defaults
            to `None`.
        multi_label: Whether an image may be of several classes. Of a training
            run it is known. Defaults to `False`.
        **changes: Fields of `keras_tricks.data.Preprocessing`; `None` leaves
            one as it is.

    Returns:
        A `Classifier`.

    Raises:
        ValueError: If a file is missing or not as described, weights do not
            belong to the model, or the preprocessing is unknown.
        ImportError: If KerasHub is needed and missing.
        RuntimeError: If a download fails.

    Example:
    >>> import tempfile
    >>> from keras_tricks import models
    >>> path = tempfile.mkdtemp() + "/model.keras"
    >>> size = (32, 32, 3)
    >>> models.ResNet18D(num_classes=4, width=4, input_shape=size).save(path)
    >>> classifier = load_classifier(path, mean=(0, 0, 0), std=(255,) * 3)
    >>> classifier.preprocessing.image_size, classifier.num_classes
    (32, 4)
    """
    changes = {k: v for k, v in changes.items() if v is not None}
    names = None if classes is None else read_class_names(classes)
    if str(model) in CONSTRUCTORS:
        found = _named(str(model), weights, names, model_args or {}, changes)
        return dataclasses.replace(found, multi_label=multi_label)
    built = is_built(str(model))
    unused = {"model_args": model_args} | (
        {} if built else {"weights": weights}
    )
    for name, value in unused.items():
        if value is not None:
            raise ValueError(
                f"`{name}` must be None unless `model` is the name of one in "
                f"keras_tricks.models. Received: model={str(model)!r}, "
                f"{name}={value!r}"
            )
    if built:
        found = _of_others(str(model), weights, names, changes)
        return dataclasses.replace(found, multi_label=multi_label)
    path = _model_file(Path(model))
    network = _load(path)
    recipe = read_recipe(path.parent)
    known = read_preprocessing(path.parent)
    known = known or getattr(network, "preprocessing", None)
    if recipe is not None:
        if names is None and (path.parent / CLASSES_FILE).is_file():
            names = read_class_names(path.parent / CLASSES_FILE)
        known, names = _complete_run(recipe, known, names, changes, path)
        multi_label = multi_label or recipe.multi_label
    preprocessing = _complete(known, changes, network)
    return Classifier(
        network, preprocessing, names, recipe, str(path), multi_label
    )


def read_recipe(folder: Path) -> Recipe | None:
    """Return the recipe of the training run in a folder, if there is one."""
    file = folder / "recipe.json"
    return Recipe.load(file) if file.is_file() else None


def _model_file(path):
    folder = path
    if path.is_dir():
        path = path / "last.keras"
        best = folder / "best.keras"
        if best.is_file() and not path.is_file():
            raise ValueError(
                "`model` must be the folder of a run that is complete; of one "
                f"that is not, {best} is the best so far. "
                f"Received: model={str(folder)!r}"
            )
    if not path.is_file():
        without = "" if folder == path else ", a folder without last.keras"
        raise ValueError(
            "`model` must be a .keras file, the folder of a training run, or "
            "the name of a model in keras_tricks.models, such as ResNet50D. "
            f"Received: model={str(folder)!r}{without}"
        )
    return path


def _load(path):
    try:
        model = load_model(path)
    except ValueError as error:
        raise ValueError(
            f"`model` must be a saved .keras model ({first_line(error)}). "
            f"Received: model={str(path)!r}"
        ) from None
    return _fast(model)


def _fast(model):
    if _backend.fastest_settings()[1] is False:
        model.jit_compile = False
    return model


def _named(name, weights, names, model_args, changes):
    if weights is None:
        raise ValueError(
            f"`weights` must be given for {name}. Received: weights=None"
        )
    options = {} if names is None else {"num_classes": len(names)}
    options |= model_args
    channels = len(changes.get("channels", "RGB"))
    first = keras.config.image_data_format() == "channels_first"

    def shape(height, width):
        sides = (height, width)
        return (channels, *sides) if first else (*sides, channels)

    def build(weights, **options):
        try:
            return CONSTRUCTORS[name](weights=weights, **options)
        except TypeError as error:
            raise ValueError(
                f"`model_args` must be arguments of {name} ({error}). "
                f"Received: model_args={model_args!r}"
            ) from None

    # The size that the weights are for is known when they are loaded.
    model = build(weights, **{"input_shape": shape(None, None), **options})
    known = read_preprocessing(Path(weights).parent) or model.preprocessing
    if known is not None and channels == 1:
        known = known.gray()
    size = changes.get("image_size", known and known.image_size)
    if size is not None:
        options = {"input_shape": shape(*sides_of(size)), **options}
    model = _fast(build(model, **options))
    preprocessing = _complete(known, changes, model)
    return Classifier(model, preprocessing, names, None, f"{name}, {weights}")


def _of_others(name, weights, names, changes):
    if weights is None and name.startswith("applications/"):
        raise ValueError(
            f"`weights` must be given for {name}. Received: weights=None"
        )
    size, channels = changes.get("image_size"), changes.get("channels", "RGB")
    sides = (None, None) if size is None else sides_of(size)
    model = build_network(
        name,
        (*sides, len(channels)),
        None if names is None else len(names),
        weights=weights,
    )
    if model.network_report.fresh_head:
        raise ValueError(
            f"`classes` must be as many as {name} was trained for. "
            f"Received: {model.output_shape[1]}"
        )
    known = _complete(model.preprocessing, changes, model)
    source = name if weights is None else f"{name}, {weights}"
    return Classifier(_fast(model), known, names, None, source)


def _complete_run(recipe, known, names, changes, path):
    """Return what a training run knows of its images and classes."""
    stated = {"mean", "std"} <= set(changes)
    if names is not None and (known is not None or stated):
        return known, names
    try:
        data = load_data(recipe)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        raise ValueError(
            "`model` must be in the folder of a run whose data set can be "
            "loaded, or `mean`, `std` and `classes` be given "
            f"({first_line(error)}). Received: model={str(path)!r}"
        ) from None
    return known or data.preprocessing, names or ClassNames(data.class_names)


def _complete(known, changes, model):
    """Put changes into what is known; None if the two are too little."""
    if known is not None:
        return dataclasses.replace(known, **changes)
    if not {"mean", "std"} <= set(changes):
        return None
    if data_formats(model, 1):
        changes = {"channels": "L", **changes}
    sides = image_sides(model, len(changes.get("channels", "RGB")))
    if None not in sides:
        changes = {"image_size": sides, **changes}
    return Preprocessing(**changes)
