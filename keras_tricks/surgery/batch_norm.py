import keras

from keras_tricks.layers.batch_norm import BatchNormalization
from keras_tricks.surgery.graph import check_built, flatten, has_graph
from keras_tricks.surgery.rebuild import (
    Replacement,
    check_graph,
    get_config,
    is_its_graph,
    rebuild,
)
from keras_tricks.surgery.report import SurgeryReport


def swap_batch_norm(
    model: keras.Model,
) -> tuple[keras.Model, SurgeryReport]:
    """Build a model again with fused batch norms in place of core Keras'.

    `keras.layers.BatchNormalization` becomes
    `keras_tricks.layers.BatchNormalization`, of the same configuration, name
    and weights: outputs and gradients are equal to rounding, and a training
    step on PyTorch, or on TensorFlow without XLA, is faster. Functional and
    `Sequential` models inside the model are entered. Subclasses stay, since
    they compute something of their own, as do norms that a layer makes itself.

    The model that is given stays as it is.

    Args:
        model: A functional or `Sequential` model.

    Returns:
        A new model with a copy of the weights, not compiled, and a
        `SurgeryReport`: the norms, and those left alone with the reason.

    Raises:
        ValueError: For a model without a graph, a layer that cannot be made
            again from its configuration, or when there is no norm to swap.

    Example:
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.BatchNormalization(name="norm")]
    ... )
    >>> model, report = swap_batch_norm(model)
    >>> print(report)
    swapped batch norms: 1 layers
      norm: keras.layers -> keras_tricks.layers
    compile the new model before training

    Reference:
        - [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167)
    """
    check_graph(model)
    replacements, changed, skipped = {}, {}, {}
    for node in flatten(model):
        layer = node.operation
        if type(layer) is keras.layers.BatchNormalization:
            norm = BatchNormalization.from_config(get_config(layer))
            replacements[id(layer)] = Replacement([norm], heir=norm)
            changed[node.path] = ("keras.layers", "keras_tricks.layers")
        elif _holds_core_norm(layer):
            skipped[node.path] = "a norm of core Keras is inside of this layer"
    if not changed:
        reasons = "".join(f"; {path}: {why}" for path, why in skipped.items())
        raise ValueError(
            "`model` must have layers that are keras.layers.BatchNormalization."
            f" Received: model={model.name!r} with none{reasons}"
        )
    result, notes = rebuild(model, replacements)
    report = SurgeryReport(
        "swapped batch norms",
        tuple((path, *names) for path, names in changed.items()),
        skipped=tuple(skipped.items()),
        notes=notes,
    )
    return result, report


def _holds_core_norm(operation) -> bool:
    """Return whether a layer has a norm of core Keras somewhere inside."""
    return isinstance(operation, keras.layers.Layer) and any(
        type(part) is keras.layers.BatchNormalization
        for part in operation._flatten_layers()
    )


def freeze_batch_norm(model: keras.Model) -> SurgeryReport:
    """Make every batch norm of a model use the statistics it has.

    `y = gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta`

    In training too: gamma and beta do not train, and the statistics do not
    move. For fine-tuning with few images per device.

    The norms change in place, wherever they are in the model. A model that is
    compiled is no longer: its optimizer and its compiled functions knew the
    norms as trainable, and `fit` asks for `compile`. Other norms have no
    statistics and stay as they are. Setting `trainable = True` on the model
    or on a layer around a norm undoes it.

    `save` keeps it for norms that are layers of a functional or `Sequential`
    model. A layer that makes its norm itself has to say so in its own
    configuration, as those do that have `frozen_norm` in it. Of other layers
    the report warns: call this function again after loading the model.

    Args:
        model: Any Keras model that is built.

    Returns:
        A `SurgeryReport`: the norms, and notes on what to do.

    Raises:
        ValueError: For a model that is not built, that has no batch norm, or
            whose batch norms are all frozen already.

    Example:
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.BatchNormalization(name="norm")]
    ... )
    >>> print(freeze_batch_norm(model))
    froze batch norms: 1 layers
      norm: trainable -> frozen
    >>> model.trainable_variables
    []

    Reference:
        - [He et al., 2017](https://arxiv.org/abs/1703.06870), section 3.1
    """
    check_built(model)
    norms = {id(norm): (norm, *rest) for norm, *rest in _norms(model)}
    active = [entry for entry in norms.values() if entry[0].trainable]
    if not active:
        raise ValueError(
            "`model` must have batch norms that are not frozen. "
            f"Received: model={model.name!r} with {len(norms)} batch norms"
        )
    for norm, _, _ in active:
        norm.trainable = False
    for layer in model._flatten_layers():
        if hasattr(layer, "frozen_norm"):
            layer.frozen_norm = True
    notes = []
    if forget_compile(model):
        notes.append("compile the model again before training")
    lost = [path for _, path, saved in active if not saved]
    if lost:
        notes.append(
            f"saving may not keep {len(lost)} of them, as {lost[0]!r}: call "
            "freeze_batch_norm again after loading the model"
        )
    changed = tuple((path, "trainable", "frozen") for _, path, _ in active)
    return SurgeryReport("froze batch norms", changed, notes=tuple(notes))


def forget_compile(model: keras.Model) -> bool:
    """Let `fit` and `evaluate` of a model ask for `compile`, if it was."""
    was = model.compiled
    if was:
        model.compiled = False
        model.train_function = None
        model.test_function = None
        model.predict_function = None
    return was


def _norms(layer, path="", saved=True):
    """Yield each batch norm, its path, and whether saving keeps it frozen."""
    if isinstance(layer, keras.layers.BatchNormalization):
        yield layer, path, saved
    elif has_graph(layer):
        prefix = f"{path}/" if path else ""
        saved = saved and is_its_graph(layer)
        for child in layer.layers:
            yield from _norms(child, prefix + child.name, saved)
    else:
        saved = saved and hasattr(layer, "frozen_norm")
        for part in layer._flatten_layers():
            if isinstance(part, keras.layers.BatchNormalization):
                yield part, part.path, saved
