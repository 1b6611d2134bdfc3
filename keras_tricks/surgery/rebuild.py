"""Builds a functional model again, with other layers in some places."""

import contextlib
import dataclasses

import keras
import numpy as np
from keras import ops, tree

from keras_tricks._checks import first_line
from keras_tricks.surgery.graph import functional, has_graph


@dataclasses.dataclass(eq=False)
class Replacement:
    """What takes the place of a layer or an operation.

    Attributes:
        layers: Called one after the other, the first on the old arguments.
        heir: The one of them that gets the old weights, or `None`.
    """

    layers: list[keras.Operation]
    heir: keras.layers.Layer | None = None

    def __call__(self, *args, **kwargs):
        x = self.layers[0](*args, **kwargs)
        for layer in self.layers[1:]:
            x = layer(x)
        return x


def check_graph(model: keras.Model):
    """Refuse what has no graph to be built again from."""
    if not isinstance(model, keras.Model) or not has_graph(model):
        raise ValueError(
            "`model` must be a functional or Sequential Keras model that is "
            f"built. Received: model={model!r}"
        )


def custom_objects(model: keras.Model) -> dict:
    """Return what the configurations of a model's layers may name."""
    objects = {}
    for layer in model._flatten_layers():
        for part in (type(layer), getattr(layer, "activation", None)):
            if hasattr(part, "__name__"):
                objects[part.__name__] = part
    return objects


@contextlib.contextmanager
def _naming(layer):
    """Turn the errors of a layer that cannot be made again into one line."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            "`model` must have layers that can be made again from their "
            f"configuration. Received: layer={layer.name!r}, with "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def get_config(operation: keras.Operation) -> dict:
    """Return the configuration of a layer or operation."""
    with _naming(operation):
        return operation.get_config()


def from_config(operation: keras.Operation, /, **changes) -> keras.Operation:
    """Make a layer or operation again, without its weights.

    Args:
        operation: The layer or operation.
        **changes: What is different in its configuration.

    Raises:
        ValueError: If its configuration is not enough to make it.
    """
    with _naming(operation):
        config = {**operation.get_config(), **changes}
        if not isinstance(operation, keras.layers.Lambda):
            return type(operation).from_config(config)
        # Its Python code is at hand: no need to read it from bytes.
        for key in set(config) & {"function", "mask", "arguments"}:
            config[key] = getattr(operation, key)
        if "output_shape" in config:
            config["output_shape"] = operation._output_shape
        return type(operation)(**config)


def rebuild(
    model: keras.Model, replacements: dict[int, Replacement]
) -> tuple[keras.Model, tuple[str, ...]]:
    """Build a model again, with some layers replaced.

    Args:
        model: A functional or `Sequential` model.
        replacements: By the `id` of a layer or operation, in the model or in
            a model inside it, what takes its place.

    Returns:
        A model that shares nothing with the old one, and sentences on what it
        lacks. It has the old weights, frozen layers and dtype policies, and
        is not compiled.

    Raises:
        ValueError: If a layer cannot be made again from its configuration.
    """
    made: dict[int, tuple] = {}
    with keras.saving.custom_object_scope(custom_objects(model)):
        new = _copy_model(model, replacements, made)
    pairs = [(model, new), *reversed(made.values())]
    notes = ["compile the new model before training"]
    for old, copy in pairs:
        if has_graph(old):
            if type(copy) is not type(old):
                notes.append(
                    f"{old.name} ({type(old).__name__}) is now a "
                    f"{type(copy).__name__}: only its layers are kept"
                )
            if copy.trainable != old.trainable:
                copy.trainable = old.trainable
    for old, copy in pairs:
        heir = copy.heir if isinstance(copy, Replacement) else copy
        if isinstance(heir, keras.layers.Layer) and not has_graph(old):
            _inherit(old, heir)
    return new, tuple(notes)


def finish_normalization(layer: keras.layers.Layer) -> None:
    """Let what normalizes in a layer compute with the values it has now.

    `keras.layers.Normalization` computes with copies of its variables.
    """
    for part in layer._flatten_layers():
        if isinstance(part, keras.layers.Normalization):
            part.finalize_state()


def _copy_model(model, replacements, made):
    """Copy a model without its weights.

    Puts the pairs of old and new operations and inner models into `made`.
    """

    def copy(operation):
        if id(operation) not in made:
            new = replacements.get(id(operation))
            if new is None and has_graph(operation):
                new = _copy_model(operation, replacements, made)
            elif new is None:
                new = from_config(operation)
            made[id(operation)] = (operation, new)
        return made[id(operation)][1]

    graph = functional(model)
    inputs = tree.map_structure(
        lambda tensor: from_config(tensor._keras_history.operation).output,
        graph.input,
    )
    if isinstance(model, keras.Sequential):
        layers = tree.flatten(inputs)
        for layer in model.layers:
            new = copy(layer)
            layers += new.layers if isinstance(new, Replacement) else [new]
        new = keras.Sequential(layers, name=model.name)
    else:
        outputs = graph._run_through_graph(
            inputs,
            operation_fn=copy,
            call_fn=lambda operation, *args, **kwargs: operation(
                *args, **kwargs
            ),
        )
        new = _like(model, inputs, outputs)
    new.dtype_policy = model.dtype_policy
    return new


def is_its_graph(model: keras.Model) -> bool:
    """Return whether a model is made of its graph alone, and saved as such.

    Others, such as those of KerasHub, make their graph from arguments of
    their own.
    """
    init = type(model).__init__
    if isinstance(model, keras.Sequential):
        return init is keras.Sequential.__init__
    return has_graph(model) and init is _plain(model).__init__


def _plain(model):
    """Return the class of a plain functional model."""
    return next(c for c in type(model).__mro__ if c.__name__ == "Functional")


def _like(model, inputs, outputs):
    """Return a functional model, of the class of another where it can be."""
    if not is_its_graph(model):
        return keras.Model(inputs, outputs, name=model.name)
    new = type(model)(inputs, outputs, name=model.name)
    if type(model) is not _plain(model):
        # What a class adds to the configuration are attributes of its own.
        for key in set(model.get_config()) - set(_plain(model).get_config(new)):
            setattr(new, key, getattr(model, key))
    return new


def _inherit(old, new):
    """Copy values and frozen parts from one layer to another."""
    pairs = list(zip(old.variables, new.variables, strict=False))
    same = all(a.shape == b.shape for a, b in pairs)
    if not same or not len(old.variables) == len(new.variables) == len(pairs):
        raise ValueError(
            "`model` must have layers whose variables follow from their "
            f"configuration. Received: layer={old.name!r} with shapes "
            f"{[tuple(v.shape) for v in old.variables]}, made again with "
            f"{[tuple(v.shape) for v in new.variables]}"
        )
    for source, target in pairs:
        # JAX' training donates its buffers: the models must not share any.
        target.assign(np.array(ops.convert_to_numpy(source)))
    finish_normalization(new)
    weighted = [
        [part for part in layer._flatten_layers() if part.variables]
        for layer in (old, new)
    ]
    for source, target in zip(*weighted, strict=True):
        if target.trainable != source.trainable:
            target.trainable = source.trainable
