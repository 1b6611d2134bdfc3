"""Features of the student that are to be like the teacher's."""

import dataclasses

import keras
from keras import ops

from keras_tricks import _checks


@dataclasses.dataclass(frozen=True)
class FeatureMatch:
    """A layer of the student that learns from a layer of the teacher.

    Formula: `weight * mean((P f - g)²)` over positions and channels, with
    the student's features f, the teacher's g, and P a linear projection of
    f's channels onto those of g, trained along and never saved with the
    student. Added to the loss of a `keras_tricks.distillation.Distiller`;
    sample weights count as in the loss.

    Args:
        student_layer: Name of a layer of the student, a functional model.
            Its output is `(B, C)` or `(B, H, W, C)` in either data format.
        teacher_layer: Name of a layer of the teacher, whose output has the
            same rank, height and width.
        weight: At least 0. Defaults to 1.

    Raises:
        ValueError: If a layer is not given by its name, or the weight is
            negative or no number.

    Example:
    >>> FeatureMatch("stage4_block2", "stage4_block3", weight=0.5).weight
    0.5

    Reference:
        - [Romero et al., 2014](https://arxiv.org/abs/1412.6550). Not a part of
          the paper
    """

    student_layer: str
    teacher_layer: str
    weight: float = 1.0

    def __post_init__(self):
        for field in ("student_layer", "teacher_layer"):
            name = getattr(self, field)
            if not isinstance(name, str):
                raise ValueError(
                    f"`{field}` must be the name of a layer. "
                    f"Received: {field}={name!r}"
                )
        weight = _checks.check_real("weight", self.weight, 0)
        object.__setattr__(self, "weight", weight)


def check_features(features) -> tuple[FeatureMatch, ...]:
    """Return a tuple of pairs, or raise ValueError."""
    if not isinstance(features, (list, tuple)) or not all(
        isinstance(match, FeatureMatch) for match in features
    ):
        raise ValueError(
            "`features` must be a list of FeatureMatch. "
            f"Received: features={features!r}"
        )
    return tuple(features)


def tap(name: str, model: keras.Model, layers: list[str]) -> keras.Model:
    """Return the model with the outputs of some layers beside its own.

    Args:
        name: `"student"` or `"teacher"`, for messages.
        model: A functional model.
        layers: Names of its layers.

    Returns:
        A functional model of the same layers: `[output, *features]`.

    Raises:
        ValueError: If the model is not functional or a layer is unknown.
    """
    if not getattr(model, "inputs", None) or not hasattr(model, "outputs"):
        raise ValueError(
            f"`{name}` must be a functional model to match its features. "
            f"Received: {name}={model!r}"
        )
    known = {layer.name: layer for layer in model.layers}
    for layer in layers:
        if layer not in known:
            raise ValueError(
                f"`{name}_layer` must be the name of a layer of "
                f"{model.name!r}{_checks.near(layer, known)}. "
                f"Received: {name}_layer={layer!r}"
            )
    features = [known[layer].output for layer in layers]
    # What a model inside gives here is a tensor of its own graph; Keras 3.13
    # connects it to nothing and says nothing.
    in_graph = {
        id(tensor)
        for layer in model.layers
        for node in layer._inbound_nodes
        for tensor in node.output_tensors
    }
    if not all(id(feature) in in_graph for feature in features):
        raise ValueError(
            f"`{name}_layer` must be a layer of {model.name!r} itself, and no "
            f"model in it. Received: {name}_layer={layers!r}"
        )
    return keras.Model(model.inputs, [model.outputs[0], *features])


def channels_axis(model: keras.Model, layer: str) -> int:
    """Return the axis of the channels in the output of a layer."""
    found = model.get_layer(layer)
    if len(found.output.shape) != 4:
        return -1
    data_format = getattr(found, "data_format", None)
    data_format = data_format or _data_format_before(found)
    return 1 if data_format == "channels_first" else -1


def _data_format_before(layer):
    """Return the layout of the nearest layer before that has one."""
    parents = [
        tensor._keras_history.operation
        for node in layer._inbound_nodes
        for tensor in node.input_tensors
    ]
    for parent in parents:
        found = getattr(parent, "data_format", None)
        found = found or _data_format_before(parent)
        if found:
            return found
    return keras.config.image_data_format()


def check_shapes(match: FeatureMatch, student, teacher):
    """Refuse features (B, ..., channels) that differ in more than channels.

    Args:
        match: The pair, for the message.
        student: Shape of the student's features, channels last.
        teacher: That of the teacher's.
    """
    if len(student) != len(teacher) or any(
        None not in (a, b) and a != b
        for a, b in zip(student[1:-1], teacher[1:-1], strict=True)
    ):
        raise ValueError(
            f"`features` must pair layers of the same height and width. "
            f"Received: {match.student_layer!r} of shape {tuple(student)}, "
            f"{match.teacher_layer!r} of shape {tuple(teacher)}"
        )


def feature_loss(projected, teacher, sample_weight=None):
    """Compute the mean squared error as a Keras loss reduces it."""
    flat = [ops.reshape(f, (ops.shape(f)[0], -1)) for f in (teacher, projected)]
    return keras.losses.MeanSquaredError()(*flat, sample_weight)
