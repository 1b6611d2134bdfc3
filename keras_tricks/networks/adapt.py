"""Fits the network of somebody else to a recipe, by surgery."""

import dataclasses

import keras
import numpy as np

from keras_tricks import surgery
from keras_tricks._checks import first_line
from keras_tricks._model_facts.image_input import data_formats, image_sides
from keras_tricks._model_facts.last_activation import check_ends_in_logits
from keras_tricks._model_facts.precision import compute_dtypes
from keras_tricks.data import Preprocessing
from keras_tricks.models._network import ClassifierModel
from keras_tricks.networks.normalization import (
    pixels_as_they_are,
    rescales_itself,
)
from keras_tricks.surgery.graph import flatten, has_graph
from keras_tricks.surgery.with_precision import with_precision


@dataclasses.dataclass(frozen=True)
class NetworkReport:
    """What was done to a network of others before it is trained.

    Attributes:
        lines: Sentences: where it comes from, each change, or why there is
            none, and how its images are normalized.
        fresh_head: Whether its last layer starts anew.

    Example:
    >>> print(NetworkReport(("applications/VGG16: random weights",)))
    applications/VGG16: random weights
    """

    lines: tuple[str, ...]
    fresh_head: bool = False

    def __str__(self):
        return "\n".join(self.lines)


def adapt(found, name, image_shape, num_classes, options) -> keras.Model:
    """Return the network as a recipe wants it, with a report on it.

    Args:
        found: What a source gave, a `Found`.
        name: Its name in the recipe.
        image_shape: Height, width and channels.
        num_classes: Number of logits; `None` for those that there are.
        options: The options of `build_network`.
    """
    model = found.model
    _check_images(model, name, image_shape, num_classes, options["data_format"])
    known = _known_normalization(found, name, image_shape)
    notes = [f"{name}: {found.origin}"]
    fresh = found.fresh_head
    if has_graph(model) and not _ends_in_code(model):
        model, new = _operate(found, name, num_classes, options, notes)
        fresh = fresh or new
    else:
        _leave(model, name, options)
        notes.append("no graph, so surgery leaves it as it is")
    if options["frozen_norm"]:
        report = _try(
            "frozen_norm", True, name, surgery.freeze_batch_norm, model
        )
        notes.append(f"{report.summary}: {len(report)}")
    elif options["zero_gamma"]:
        notes.append(_silence(model, found.trained))
    model = _as_classifier(model, image_shape, options)
    shape = model.output_shape
    if len(shape) != 2 or num_classes not in (None, shape[-1]):
        raise ValueError(
            f"`model` must give {num_classes} logits: a subclassed model "
            f"keeps its last layer. Received: model={name!r} of output shape "
            f"{shape}"
        )
    model.preprocessing = known
    notes.append(_say_normalization(known))
    model.network_report = NetworkReport(tuple(notes), fresh)
    return model


def _known_normalization(found, name, image_shape):
    """Return what is known of how the images are to be normalized."""
    model, channels = found.model, image_shape[2]
    own = getattr(model, "preprocessing", None)
    known = own if isinstance(own, Preprocessing) else found.preprocessing
    if known is None and rescales_itself(model):
        known = pixels_as_they_are(image_shape[0] or 224, channels)
    if known is None:
        return None
    if len(known.channels) != channels:
        raise ValueError(
            f"`model` must take images of {len(known.channels)} channels, as "
            f"its weights do. Received: model={name!r}, images of {channels}"
        )
    sides = zip(image_sides(model, channels), image_shape[:2], strict=True)
    height, width = (given if own is None else own for own, given in sides)
    if None in (height, width):
        return known
    return dataclasses.replace(known, image_size=(height, width))


def _operate(found, name, num_classes, options, notes):
    """Do the surgery that builds the model again."""
    model, dtype = found.model, options["dtype"]
    if dtype is not None and found.has_policies:
        wanted = {keras.DTypePolicy(dtype).compute_dtype} - {"float32"}
        if wanted != set(compute_dtypes(model)) - {"float32"}:
            model = with_precision(model, dtype)
    # Always: logits are float32 whatever the policy.
    model, report = _try(
        "model",
        name,
        name,
        surgery.change_head,
        model,
        num_classes,
        options["dropout"],
        options["skip_head"],
    )
    fresh = bool(report.fresh)
    if report.changed:
        path, old, new = report.changed[0]
        anew = ", whose weights start anew" if fresh else ""
        notes.append(f"head {path}: {old} -> {new}{anew}")
    elif found.fresh_head:
        notes.append("head: new, random weights")
    try:
        model, report = surgery.swap_batch_norm(model)
        notes.append(f"{report.summary}, for fused ones: {len(report)}")
    except ValueError as error:
        reason = str(error).partition("Received: ")[2]
        notes.append(f"batch norms as they are: {reason}")
    if options["activation"] != "relu":
        value = options["activation"]
        model, report = _try(
            "activation", value, name, surgery.swap_activations, model, value
        )
        notes.append(f"{report.summary}: {len(report)} layers")
    if options["drop_path"]:
        value = options["drop_path"]
        model, report = _try(
            "drop_path", value, name, surgery.add_drop_path, model, value
        )
        notes.append(f"{report.summary}: {len(report)} branches")
    return model, fresh


def _ends_in_code(model) -> bool:
    """Return whether a subclassed model inside makes the output."""
    last = next(node.operation for node in flatten(model) if node.is_output)
    return isinstance(last, keras.Model)


def _try(option, value, name, function, *args):
    """Call surgery; what it cannot do is the fault of an option."""
    try:
        return function(*args)
    except ValueError as error:
        must = {
            "model": "be a classifier whose last layer can be changed",
            "activation": f"be 'relu' for {name}, which leaves it as it is",
            "drop_path": f"be 0 for {name}",
            "frozen_norm": f"be False for {name}",
        }[option]
        reason = str(error).rpartition("Received: ")[2]
        raise ValueError(
            f"`{option}` must {must}: {reason}. Received: {option}={value!r}"
        ) from error


def _leave(model, name, options):
    """Refuse what would need a graph."""
    check_ends_in_logits("model", model)
    defaults = {
        "activation": "relu",
        "drop_path": 0,
        "dropout": None,
        "skip_head": False,
    }
    for option, default in defaults.items():
        if options[option] != default:
            raise ValueError(
                f"`{option}` must be {default!r} for {name}, a subclassed "
                "model, which has no graph that could be changed. "
                f"Received: {option}={options[option]!r}"
            )


def _check_images(model, name, image_shape, num_classes, data_format):
    """Refuse a model that does not take the images as they come."""
    shape = getattr(model, "input_shape", None)
    if not has_graph(model) and shape is None:
        return  # A subclassed model is asked when it is called.
    formats = data_formats(model, image_shape[2])
    if not formats:
        raise ValueError(
            f"`model` must take images of {image_shape[2]} channels. "
            f"Received: model={name!r} of input shape {shape}"
        )
    if data_format not in formats:
        raise ValueError(
            f"`data_format` must be {formats[0]!r} for {name}, which takes "
            f"images of shape {shape}. Received: data_format={data_format!r}"
        )
    sides = shape[1:3] if data_format == "channels_last" else shape[2:]
    for side, own in zip(image_shape[:2], sides, strict=True):
        as_it_is = side is None and num_classes is None
        if own is not None and side != own and not as_it_is:
            raise ValueError(
                f"`image_size` must be that of {name}, "
                f"{sides[0]} x {sides[1]}. Received: images of "
                f"{image_shape[0]} x {image_shape[1]}"
            )


def _is_trained(model):
    """Return whether a norm has other statistics or scales than new ones."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            mean = keras.ops.convert_to_numpy(layer.moving_mean)
            if mean.any():
                return True
        gamma = getattr(layer, "gamma", None)
        if isinstance(gamma, keras.Variable):
            if len(np.unique(keras.ops.convert_to_numpy(gamma))) > 1:
                return True
    return False


def _silence(model, trained):
    """Start residual branches at 0, if the weights are new; say what was."""
    if trained or _is_trained(model):
        return "zero gamma: not on trained weights"
    try:
        return f"zero gamma: {len(surgery.zero_gamma(model))} branches silent"
    except ValueError as error:
        reason = first_line(str(error).rpartition("Received: ")[2])
        return f"zero gamma: nowhere, {reason}"


def _as_classifier(model, image_shape, options):
    """Return a model that can say how its images are normalized."""
    if isinstance(model, ClassifierModel):
        result = model
    elif has_graph(model):
        (images,), (logits,) = model.inputs, model.outputs
        result = ClassifierModel(images, logits, name=model.name)
    else:
        if options["data_format"] == "channels_first":
            image_shape = (image_shape[2], *image_shape[:2])
        images = keras.Input(image_shape, name="images")
        result = ClassifierModel(images, model(images), name=model.name)
    if options["dtype"] is not None:
        result.dtype_policy = options["dtype"]
    return result


def _say_normalization(known):
    if known is None:
        return "images: by mean and standard deviation of the training images"
    if set(known.mean) == {0.0} and set(known.std) == {1.0}:
        return "images: pixels 0 ... 255, the network normalizes them"
    return f"images: {known.channels}, mean {known.mean}, std {known.std}"
