"""The student: what it must be, and its features beside its logits."""

import keras

from keras_tricks._model_facts.last_activation import check_ends_in_logits
from keras_tricks.distillation import feature_match
from keras_tricks.distillation._teachers import to_channels_last_shape

# How the names of core Keras' layers with random numbers begin.
_AUGMENTATIONS = (
    "Random",
    "RandAugment",
    "MixUp",
    "CutMix",
    "AugMix",
    "Solarization",
)


class StudentTap:
    """The student with features beside its logits: no weights of its own."""

    def __init__(self, student, layers):
        self.model = feature_match.tap("student", student, layers)
        self.axes = [
            feature_match.channels_axis(student, layer) for layer in layers
        ]
        self.shapes = [
            to_channels_last_shape(output.shape, axis)
            for output, axis in zip(
                self.model.outputs[1:], self.axes, strict=True
            )
        ]


def check_student(student):
    """Refuse what is no student, by its structure."""
    if not isinstance(student, keras.Model):
        raise ValueError(
            f"`student` must be a Keras model. Received: student={student!r}"
        )
    check_ends_in_logits("student", student)
    if student.built:
        check_one_output(student, getattr(student, "output_shape", None))
    for layer in student._flatten_layers():
        if any(map(_is_augmentation, type(layer).__mro__)):
            raise ValueError(
                "`student` must not augment its input, or the teacher would "
                "see another view of it: augment in the data. Received: "
                f"student={student.name!r} with a layer {type(layer).__name__}"
            )


def check_one_output(student, outputs):
    """Refuse a student of several outputs, or of their shapes."""
    parts = list(outputs.values()) if isinstance(outputs, dict) else outputs
    if isinstance(parts, (list, tuple)) and not all(
        part is None or isinstance(part, int) for part in parts
    ):
        raise ValueError(
            "`student` must have one output, the logits. Received: "
            f"student={student.name!r} with {len(parts)} outputs"
        )


def _is_augmentation(kind):
    core = ".preprocessing." in kind.__module__
    return core and kind.__name__.startswith(_AUGMENTATIONS)
