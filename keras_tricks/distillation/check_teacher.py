import dataclasses
import warnings
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_tricks import _backend
from keras_tricks._model_facts.last_activation import check_ends_in_logits
from keras_tricks._types import Tensor
from keras_tricks.losses import _targets
from keras_tricks.metrics.average_precision import average_precision
from keras_tricks.metrics.dominant_label_accuracy import hard_targets

# Standard deviations above chance from which on accuracy is no accident.
_DEVIATIONS = 2.33


@dataclasses.dataclass(frozen=True)
class TeacherReport:
    """What `check_teacher` measured.

    Attributes:
        name: Name of the teacher.
        accuracy: Share of the samples whose label it gives the top logit.
        samples: Number of samples.
        num_classes: Number of classes.
        positives: Where a sample may be of several classes, how many there
            are in all samples together; `accuracy` is then the micro average
            precision. Defaults to None.

    Example:
    >>> report = TeacherReport("resnet50_d", 0.5, samples=64, num_classes=10)
    >>> print(report, report.at_chance)
    resnet50_d: accuracy 50.0 % on 64 samples, chance is 10.0 % False
    """

    name: str
    accuracy: float
    samples: int
    num_classes: int
    positives: int | None = None

    @property
    def chance(self) -> float:
        """What guessing gives: 1 / K, or the share of the positives."""
        if self.positives is None:
            return 1 / self.num_classes
        return self.positives / max(self.samples * self.num_classes, 1)

    @property
    def at_chance(self) -> bool:
        """Whether guessing would do as well, as far as the samples tell."""
        chance, trials = self.chance, self.positives
        trials = self.samples if trials is None else max(trials, 1)
        deviation = (chance * (1 - chance) / trials) ** 0.5
        bound = chance + _DEVIATIONS * deviation
        return self.accuracy <= bound < 1

    def __str__(self):
        what = "accuracy" if self.positives is None else "average precision"
        return (
            f"{self.name}: {what} {self.accuracy:.1%} on {self.samples} "
            f"samples, chance is {self.chance:.1%}"
        ).replace("%", " %")


def check_teacher(
    teacher: keras.Model,
    x: Tensor,
    y: Tensor,
    num_classes: int | None = None,
    adapt: Callable | None = None,
    several: bool = False,
) -> TeacherReport:
    """Refuse a teacher that cannot be meant, and measure it on one batch.

    The commonest failure of distillation is a teacher whose weights were not
    loaded: nothing fails, and the student learns nothing from it.

    Args:
        teacher: A Keras model that gives logits `(B, K)`.
        x: A batch as the student gets it.
        y: Its labels: integers `(B,)` or `(B, 1)`, or class weights
            `(B, K)`, of which the largest counts.
        num_classes: Number of classes of the student. Defaults to None, any.
        adapt: Function of x that gives the teacher's input. Defaults to None.
        several: Whether a sample may be of several classes: labels (B, K) of
            which those from 1/2 on count. Defaults to `False`.

    Returns:
        A `TeacherReport`; `print` shows it.

    Raises:
        ValueError: If the teacher ends in a softmax or another activation,
            if it takes images of another shape, gives probabilities, another
            number of classes, values that are not finite, or more than one
            output.

    Warns:
        UserWarning: If its accuracy is no better than chance.

    Example:
    >>> teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> teacher.layers[0].set_weights([4 * np.eye(2), np.zeros(2)])
    >>> y = np.arange(16) % 2
    >>> print(check_teacher(teacher, np.eye(2)[y], y).accuracy)
    1.0
    """
    refuse_activation(teacher)
    check_adapt(adapt)
    with _backend.no_gradient():
        logits = call_teacher(teacher, x, adapt)
    return measure_teacher(teacher, logits, y, num_classes, several=several)


def call_teacher(teacher, x, adapt=None):
    """Return what the teacher says in inference mode."""
    x = x if adapt is None else adapt(x)
    taken = getattr(teacher, "input_shape", None)
    # Keras adds or drops an axis of 1 by itself.
    if isinstance(taken, tuple) and len(taken) == len(getattr(x, "shape", ())):
        if not _targets.compatible(taken, tuple(x.shape)):
            raise ValueError(
                "`teacher` must take the student's images, or what `adapt` "
                "makes of them, such as AdaptImages. Received: "
                f"x.shape={tuple(x.shape)}, teacher={teacher.name!r} of input "
                f"shape {taken}"
            )
    return teacher(x, training=False)


def check_adapt(adapt):
    """Raise ValueError for what cannot adapt images."""
    if adapt is not None and not callable(adapt):
        raise ValueError(
            f"`adapt` must be callable or None. Received: adapt={adapt!r}"
        )


def refuse_activation(teacher):
    """Raise ValueError for a teacher whose last layer is an activation."""
    if not isinstance(teacher, keras.Model):
        raise ValueError(
            "`teacher` must be a Keras model. "
            f"Received: teacher={teacher!r} of type {type(teacher).__name__}"
        )
    check_ends_in_logits("teacher", teacher)


def refuse_unbuilt(teacher):
    """Raise ValueError for a teacher that has no weights yet."""
    if not teacher.built:
        raise ValueError(
            "`teacher` must be built and have its weights; a subclassed model "
            "is built when it is called on a batch. "
            f"Received: teacher={teacher.name!r}"
        )


def refuse_classes(name, classes, expected):
    """Raise ValueError for another number of classes than the student's."""
    if None not in (classes, expected) and classes != expected:
        raise ValueError(
            f"`teacher` must have the student's {expected} classes. "
            f"Received: teacher={name!r} with {classes}"
        )


def measure_teacher(
    teacher,
    logits,
    y,
    num_classes=None,
    sample_weight=None,
    several=False,
) -> TeacherReport:
    """Return the part of `check_teacher` that looks at the teacher's logits.

    Samples of weight 0 do not count, nor need their labels be classes.
    """
    if isinstance(logits, (list, tuple, dict)):
        raise ValueError(
            "`teacher` must have one output, the logits. "
            f"Received: teacher={teacher.name!r} with {len(logits)} outputs"
        )
    found = _targets.check_logits("teacher_logits", logits)
    refuse_classes(teacher.name, found, num_classes)
    logits = np.asarray(ops.convert_to_numpy(logits), "float32")
    if not np.isfinite(logits).all():
        raise ValueError(
            "`teacher` must give finite logits. Received: teacher="
            f"{teacher.name!r}, which gives {logits[~np.isfinite(logits)][0]}"
        )
    _targets.check_logit_values("teacher_logits", logits)
    y = np.asarray(_backend.as_array(y, like=logits))
    measure = _several_classes if several else _one_class
    report = measure(teacher.name, logits, y, sample_weight)
    if report.at_chance:
        warnings.warn(
            f"The teacher is no better than chance, {report}: are its "
            "weights loaded, and are its images prepared as in its training "
            "(see `adapt`)? The student can learn nothing from it.",
            stacklevel=2,
        )
    return report


def _one_class(name, logits, y, sample_weight):
    """Measure how often the label has the top logit."""
    y = _targets.without_ignored(y, logits, sample_weight)
    classes = logits.shape[-1]
    kind = _targets.kind_of_labels(y, logits, packed=True)
    _targets.check_label_values(y, classes, kind)
    labels, kind = hard_targets(y, logits)
    labels = ops.convert_to_numpy(labels)
    labels = labels.argmax(-1) if kind == "dense" else labels
    hits = logits.argmax(-1) == labels
    if sample_weight is not None:
        weights = np.asarray(sample_weight).reshape(len(hits), -1)
        hits = hits.reshape(len(hits), -1)
        hits = hits[np.broadcast_to(weights != 0, hits.shape)]
    accuracy = float(hits.mean()) if hits.size else float("nan")
    return TeacherReport(name, accuracy, len(hits), classes)


def _several_classes(name, logits, y, sample_weight):
    """Measure how far up the classes of all samples together are."""
    _targets.kind_of_labels(y, logits, packed=True)
    labels = y[..., : logits.shape[-1]]
    _targets.check_share_values(labels)
    rows = (labels >= 0.5).reshape(-1, logits.shape[-1])
    scores = logits.reshape(rows.shape)
    if sample_weight is not None:
        kept = np.asarray(sample_weight).reshape(-1) != 0
        rows, scores = rows[kept], scores[kept]
    (value,) = average_precision(rows.reshape(-1, 1), scores.reshape(-1, 1))
    return TeacherReport(name, float(value), *rows.shape, int(rows.sum()))
