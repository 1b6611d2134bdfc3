"""Teachers at work: what they say to a batch, and nothing that is tracked."""

from typing import NamedTuple

import keras
from keras import ops

from keras_tricks import _backend
from keras_tricks.distillation import feature_match
from keras_tricks.distillation.check_teacher import (
    call_teacher,
    check_adapt,
    measure_teacher,
    refuse_activation,
    refuse_classes,
    refuse_unbuilt,
)
from keras_tricks.losses._teacher_loss import TeacherLoss

ENSEMBLES = ("logits", "probabilities")


class Lesson(NamedTuple):
    """Labels, and what the teachers say: the targets of a training step."""

    labels: object
    logits: object
    features: tuple = ()


class Answer(NamedTuple):
    """What the student says, beside projected features."""

    logits: object
    features: tuple = ()


class Teachers:
    """One or more teachers and their adapters.

    A plain object on purpose: a Keras model tracks, saves, counts and
    trains what it finds in its attributes.

    Args:
        teacher: A model or a list of models.
        adapt: None, a function, or a list with one for each teacher.
        ensemble: Whether logits or probabilities of several are averaged.
        features: `FeatureMatch` pairs.
    """

    def __init__(self, teacher, adapt, ensemble, features=()):
        models = list(teacher) if isinstance(teacher, (list, tuple)) else None
        self.models = [teacher] if models is None else models
        if not self.models:
            raise ValueError(
                "`teacher` must hold at least one model. Received: teacher=[]"
            )
        self.adapts = _adapters(adapt, len(self.models))
        self.ensemble = ensemble
        for model in self.models:
            refuse_activation(model)
            refuse_unbuilt(model)
        self.features = tuple(features)
        self.runners, self.axes = self.models, []
        if features:
            if len(self.models) > 1:
                raise ValueError(
                    "`teacher` must be one model to match its features. "
                    f"Received: {len(self.models)} teachers"
                )
            names = [match.teacher_layer for match in features]
            self.runners = [feature_match.tap("teacher", self.models[0], names)]
            self.axes = [
                feature_match.channels_axis(self.models[0], name)
                for name in names
            ]
        self._compiled = None

    @property
    def feature_shapes(self):
        """Shapes of the teacher's features, channels last."""
        outputs = self.runners[0].outputs[1:] if self.features else []
        return [
            to_channels_last_shape(output.shape, axis)
            for output, axis in zip(outputs, self.axes, strict=True)
        ]

    @property
    def variables(self):
        """All variables of the teachers and of adapters that are layers."""
        parts = [*self.models, *self.adapts]
        return [v for part in parts for v in getattr(part, "variables", [])]

    def check_student(self, student):
        """Refuse a teacher that is the student, or of other classes."""
        ours = {id(v) for v in student.variables}
        classes = _classes(student)
        for model in self.models:
            if model is student or ours & {id(v) for v in model.variables}:
                raise ValueError(
                    "`teacher` must be another model than the student and "
                    "share no weights with it; `keras.models.clone_model` "
                    f"copies one. Received: teacher={model.name!r}"
                )
            refuse_classes(model.name, _classes(model), classes)

    def check_classes(self, logits, student_logits):
        """Refuse other classes, where they are seen when a step is made."""
        refuse_classes(
            self.models[0].name, logits.shape[-1], student_logits.shape[-1]
        )

    def check_batch(self, student, x, y, sample_weight=None, several=False):
        """Measure each teacher on a batch, see `check_teacher`."""
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        classes = _classes(student)
        reports = []
        for model, adapt in zip(self.models, self.adapts, strict=True):
            variables = [*model.variables, *getattr(adapt, "variables", [])]

            def say(x, model=model, adapt=adapt):
                return call_teacher(model, x, adapt)

            logits = _backend.inference(say, variables)(x)
            reports.append(
                measure_teacher(
                    model, logits, y, classes, sample_weight, several
                )
            )
        return reports

    def teach(self, x, temperature, compiled=False):
        """Return logits and features for a batch, without gradient.

        Args:
            x: The batch of the student.
            temperature: At which probabilities are averaged.
            compiled: Whether the backend is to compile this by itself,
                where the training step does not.
        """
        if not compiled:
            with _backend.no_gradient():
                return self._say(x, temperature)
        known = self._compiled
        if known is None or known[0] != temperature:
            variables = self.variables
            run = _backend.inference(
                lambda x: self._say(x, temperature), variables
            )
            self._compiled = known = (temperature, run)
        return known[1](x)

    def _say(self, x, temperature):
        answers = [
            call_teacher(model, x, adapt)
            for model, adapt in zip(self.runners, self.adapts, strict=True)
        ]
        if not self.features:
            logits = [ops.cast(answer, "float32") for answer in answers]
            return _average(logits, self.ensemble, temperature), ()
        logits, *features = answers[0]
        features = [
            ops.stop_gradient(ops.cast(to_channels_last(f, axis), "float32"))
            for f, axis in zip(features, self.axes, strict=True)
        ]
        return ops.stop_gradient(ops.cast(logits, "float32")), tuple(features)


def check_loss(loss, ensemble):
    """Refuse a loss that takes no teacher's logits, or not of this ensemble."""
    if not isinstance(loss, TeacherLoss):
        raise ValueError(
            "`loss` of a Distiller must be a "
            "keras_tricks.losses.LabelSmoothedKD (hard_weight=0 for the "
            f"soft term alone). Received: loss={loss!r}"
        )
    if loss.several and ensemble == "probabilities":
        raise ValueError(
            "`ensemble` must be 'logits' with a LabelSmoothedBinaryKD, as the "
            "probabilities of a softmax are of one class of each sample. "
            "Received: ensemble='probabilities'"
        )


def to_channels_last(x, axis):
    """Move the axis of the channels to the end."""
    return x if axis == -1 else ops.moveaxis(x, axis, -1)


def to_channels_last_shape(shape, axis):
    """Return the same for a shape."""
    shape = list(shape)
    shape.append(shape.pop(axis))
    return tuple(shape)


def _average(logits, ensemble, temperature):
    """Return the logits of an ensemble, as those of one teacher.

    The mean of probabilities at temperature T is what the logits
    `T log(mean(softmax(r / T)))` have at that temperature.
    """
    if len(logits) == 1:
        return ops.stop_gradient(logits[0])
    stacked = ops.stack(logits)
    if ensemble == "logits":
        return ops.stop_gradient(ops.mean(stacked, axis=0))
    logs = ops.log_softmax(stacked / temperature, axis=-1)
    mean = ops.logsumexp(logs, axis=0) - ops.log(float(len(logits)))
    return ops.stop_gradient(temperature * mean)


def _adapters(adapt, count):
    adapts = list(adapt) if isinstance(adapt, (list, tuple)) else None
    adapts = [adapt] * count if adapts is None else adapts
    if len(adapts) != count:
        raise ValueError(
            f"`adapt` must be one function or one for each of the {count} "
            f"teachers. Received: {len(adapts)}"
        )
    for function in adapts:
        check_adapt(function)
    return adapts


def _classes(model):
    """Return the number of logits if the model knows it before it is called."""
    shape = getattr(model, "output_shape", None) if model.built else None
    return shape[-1] if isinstance(shape, tuple) and shape else None
