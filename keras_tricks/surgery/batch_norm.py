import keras

from keras_tricks.surgery.graph import check_built, has_graph
from keras_tricks.surgery.rebuild import is_its_graph
from keras_tricks.surgery.report import SurgeryReport


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
    if model.compiled:
        # So that `fit` and `evaluate` ask for it.
        model.compiled = False
        model.train_function = None
        model.test_function = None
        model.predict_function = None
        notes.append("compile the model again before training")
    lost = [path for _, path, saved in active if not saved]
    if lost:
        notes.append(
            f"saving may not keep {len(lost)} of them, as {lost[0]!r}: call "
            "freeze_batch_norm again after loading the model"
        )
    changed = tuple((path, "trainable", "frozen") for _, path, _ in active)
    return SurgeryReport("froze batch norms", changed, notes=tuple(notes))


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
