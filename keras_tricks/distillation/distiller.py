import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_tricks import _backend, _checks
from keras_tricks._types import Tensor
from keras_tricks.distillation import feature_match
from keras_tricks.distillation._first_batch import first_batch
from keras_tricks.distillation._lesson_metrics import (
    lesson_metrics,
    update_lesson_metrics,
)
from keras_tricks.distillation._student import (
    StudentTap,
    check_one_output,
    check_student,
)
from keras_tricks.distillation._teachers import (
    ENSEMBLES,
    Answer,
    Lesson,
    Teachers,
    check_loss,
    to_channels_last,
)
from keras_tricks.distillation.check_teacher import TeacherReport
from keras_tricks.distillation.feature_match import FeatureMatch
from keras_tricks.losses._targets import kind_of_labels
from keras_tricks.losses._teacher_loss import TeacherLoss
from keras_tricks.metrics._label_kinds import check_label_kinds


@keras.saving.register_keras_serializable("keras_tricks")
class Distiller(keras.Model):
    """Trains a student on labels and on what a teacher says to each batch.

    Formula of the loss, with labels p, teacher logits r and student logits
    z: `CE(smooth(p), softmax(z)) + T² CE(softmax(r / T), softmax(z / T))`.

    The teacher runs once a training step, in inference mode, without
    gradient, in its own dtype policy and on the very batch of the student,
    so on the same augmented and mixed view. `evaluate` and `predict` are
    those of the student and never run it. It is not a part of this model:
    neither `summary`, `weights`, `save` and checkpoints nor the optimizer
    know of it, and it is not changed.

    `compile` takes a `keras_tricks.losses.LabelSmoothedKD`, which decides
    label smoothing, temperature and weights, or, of samples that may be of
    several classes, a `LabelSmoothedBinaryKD`; metrics are of the labels. The
    log of training gets, beside the loss,

    - `hard_loss`, the first term;
    - `kl`, the second one without the teacher's entropy:
      `T² KL(softmax(r / T) ‖ softmax(z / T))`;
    - `teacher_agreement`, the share of samples with the same top class; of
      several classes that of equal answers, yes or no.

    Sample weights count in the first two as they do in `loss`. With
    `form="kl"` it is their sum, or `w * hard_loss + (1 - w) * kl` for
    `hard_weight=w`, without what `features` and regularizers add.

    Before the first step `fit` measures the teacher on one batch, see
    `keras_tricks.distillation.check_teacher`.

    Save `student` to deploy it. `save` keeps the distiller as it is, without
    the teacher, for further training: load it, call `set_teacher`, `fit`.

    Args:
        student: The model to be trained. It ends in logits `(B, K)`.
        teacher: A trained model of the same K classes, or a list of them;
            or None, to be given to `set_teacher`.
        adapt: A function that turns the student's batch into the teacher's
            input, such as `keras_tricks.distillation.AdaptImages`, or a list
            with one for each teacher. Defaults to None.
        ensemble: How several teachers become one: `"logits"` averages their
            logits, `"probabilities"` their softmax at temperature T.
        features: `keras_tricks.distillation.FeatureMatch` pairs, for functional
            models. Defaults to none.
        check_teacher: Whether `fit` and the first `train_on_batch` measure
            the teacher. It takes one batch of the data.
        name: Name of the model.

    Raises:
        ValueError: If the teacher is the student or shares weights with it,
            ends in a softmax, has other classes or is not built; if the
            student has several outputs or augments its input by itself, so
            that the two would see other views; if features do not fit; in
            `fit`, as `check_teacher` does, or if the loss is no
            `LabelSmoothedKD`; if a metric of Keras is for other labels.

    Warns:
        UserWarning: In `fit`, if the teacher is no better than chance.

    Example:
    >>> layers = keras.layers
    >>> teacher = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    >>> teacher.layers[0].set_weights([4 * np.eye(3), np.zeros(3)])
    >>> student = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    >>> distiller = Distiller(student, teacher)
    >>> from keras_tricks.losses import LabelSmoothedKD
    >>> distiller.compile("sgd", LabelSmoothedKD(0.1, temperature=20.0))
    >>> y = np.arange(30) % 3
    >>> history = distiller.fit(np.eye(3)[y], y, verbose=0)
    >>> sorted(history.history)
    ['hard_loss', 'kl', 'loss', 'teacher_agreement']
    >>> student.predict(np.eye(3), verbose=0).shape
    (3, 3)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.3
        - [Hinton et al., 2015](https://arxiv.org/abs/1503.02531)
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | Sequence[keras.Model] | None = None,
        adapt: Callable | Sequence[Callable | None] | None = None,
        ensemble: str = "logits",
        features: Sequence[FeatureMatch] = (),
        check_teacher: bool = True,
        name: str | None = None,
    ):
        check_student(student)
        # The student casts its input by itself.
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        self.student = student
        self.ensemble = _checks.check_choice("ensemble", ensemble, ENSEMBLES)
        self.features = feature_match.check_features(features)
        self.check_teacher = bool(check_teacher)
        self.projections: list[keras.layers.Dense] = []
        names = [match.student_layer for match in self.features]
        self._student_tap = StudentTap(student, names) if names else None
        self._teachers = None
        self._checked = self._evaluating = False
        self._lesson_metrics = lesson_metrics()
        if teacher is not None:
            self.set_teacher(teacher, adapt)
        elif adapt is not None:
            raise ValueError(
                "`adapt` must be given together with the teacher, to "
                f"`set_teacher`. Received: adapt={adapt!r}, teacher=None"
            )
        self.built = student.built

    def set_teacher(
        self,
        teacher: keras.Model | Sequence[keras.Model],
        adapt: Callable | Sequence[Callable | None] | None = None,
    ) -> None:
        """Give this distiller its teacher, or another one.

        Args:
            teacher: As at construction.
            adapt: As at construction.

        Raises:
            ValueError: As at construction.
        """
        teachers = Teachers(teacher, adapt, self.ensemble, self.features)
        teachers.check_student(self.student)
        self._fit_projections(teachers.feature_shapes)
        self._teachers = teachers
        self._checked = False
        # What was compiled holds the teacher of before.
        self.train_function = None

    def measure_teacher(
        self, x: Tensor, y: Tensor, several: bool = False
    ) -> list[TeacherReport]:
        """Measure the teacher on a batch of the student.

        Args:
            x: The batch.
            y: Its labels, as `keras_tricks.distillation.check_teacher` takes.
            several: As there.

        Returns:
            A list with a `TeacherReport` for each teacher.

        Raises:
            ValueError: As `keras_tricks.distillation.check_teacher` does.
        """
        teachers = self._needed_teachers()
        return teachers.check_batch(self.student, x, y, several=several)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not (training and self.features):
            return self.student(inputs, training=training)
        logits, *features = self._student_tap.model(inputs, training=True)
        projected = [
            project(to_channels_last(feature, axis))
            for project, feature, axis in zip(
                self.projections, features, self._student_tap.axes, strict=True
            )
        ]
        return Answer(logits, tuple(projected))

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        weights = kwargs.get("sample_weight")
        x = self._before_training(x, y, weights, batch_size)
        return super().fit(x, y, batch_size, *args, **kwargs)

    def train_on_batch(
        self,
        x: Tensor,
        y: Tensor = None,
        sample_weight: Tensor = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        size = len(keras.tree.flatten(x)[0])
        self._before_training(x, y, sample_weight, size)
        self.reset_metrics()  # Before Keras 3.15 they add up over the batches.
        return super().train_on_batch(x, y, sample_weight, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with self._without_lessons():
            return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._without_lessons():
            return super().test_on_batch(*args, **kwargs)

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Export the student, as `keras.Model.export` does."""
        return self.student.export(*args, **kwargs)

    @contextlib.contextmanager
    def _without_lessons(self):
        before, self._evaluating = self._evaluating, True
        try:
            yield
        finally:
            self._evaluating = before

    @property
    def metrics(self) -> list:
        if not self._evaluating:
            return super().metrics
        ours = {id(metric) for metric in self._lesson_metrics}
        return [m for m in super().metrics if id(m) not in ours]

    def _before_training(self, x, y, sample_weight, batch_size):
        """Return all checks that need data; returns x, see `first_batch`."""
        check_loss(getattr(self, "loss", None), self.ensemble)
        teachers = self._needed_teachers()
        if self.check_teacher and not self._checked:
            images, labels, weights, x = first_batch(
                x, y, sample_weight, batch_size
            )
            if labels is None:
                raise ValueError("`y` must hold the labels. Received: y=None")
            several = self.loss.several
            teachers.check_batch(self.student, images, labels, weights, several)
        self._checked = True
        return x

    def _needed_teachers(self):
        if self._teachers is None:
            raise ValueError(
                "`teacher` must be given to the Distiller, or to its "
                "`set_teacher` after loading. Received: teacher=None"
            )
        return self._teachers

    def train_step(self, *args: Any) -> Any:
        *state, data = args
        return super().train_step(*state, self._teach(data))

    def make_train_function(self, force: bool = False) -> Any:
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        self.train_function = _backend.before_compiled_step(
            self.train_function, self._teach
        )

    def _teach(self, data):
        """Put what the teacher says beside the labels, once a batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(y, Lesson):
            return data
        if y is None:
            raise ValueError("`y` must hold the labels. Received: y=None")
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        logits, features = self._teachers.teach(
            x,
            self.loss.temperature,
            compiled=bool(self.jit_compile) and not self.run_eagerly,
        )
        return x, Lesson(y, logits, features), sample_weight

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        answer = _answer(y_pred)
        check_one_output(self.student, answer.logits)
        if not isinstance(y, Lesson):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        self._needed_teachers().check_classes(y.logits, answer.logits)
        loss = super().compute_loss(
            x,
            self.loss.pack(y.labels, y.logits, sample_weight),
            answer.logits,
            sample_weight,
            training,
        )
        for match, ours, theirs in zip(
            self.features, answer.features, y.features, strict=True
        ):
            loss = loss + match.weight * feature_match.feature_loss(
                ours, theirs, sample_weight
            )
        return loss

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> dict:
        if isinstance(y, Lesson):
            y_pred = _answer(y_pred).logits
            update_lesson_metrics(
                self._lesson_metrics, self.loss, y, y_pred, sample_weight
            )
            y = y.labels
        if isinstance(self.loss, TeacherLoss):
            kind = kind_of_labels(y, y_pred, packed=True)
            check_label_kinds(super().metrics, {kind})
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _fit_projections(self, shapes):
        """Make the projections, or check those that there are."""
        ours = self._student_tap.shapes if self.features else []
        for match, mine, theirs in zip(
            self.features, ours, shapes, strict=True
        ):
            feature_match.check_shapes(match, mine, theirs)
        units = [shape[-1] for shape in shapes]
        if not self.projections:
            self._add_projections(units)
        known = [project.units for project in self.projections]
        if known != units:
            raise ValueError(
                "`teacher` must have features of as many channels as the one "
                f"before, {known}. Received: {units}"
            )

    def _add_projections(self, units):
        for index, count in enumerate(units):
            project = keras.layers.Dense(
                count, use_bias=False, dtype="float32", name=f"project{index}"
            )
            project.build(self._student_tap.shapes[index])
            self.projections.append(project)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "student": keras.saving.serialize_keras_object(self.student),
            "ensemble": self.ensemble,
            "features": [dataclasses.asdict(match) for match in self.features],
            "check_teacher": self.check_teacher,
            "projection_units": [layer.units for layer in self.projections],
        }

    @classmethod
    def from_config(
        cls, config: dict, custom_objects: dict | None = None
    ) -> "Distiller":
        student = keras.saving.deserialize_keras_object(
            config["student"], custom_objects
        )
        features = [FeatureMatch(**match) for match in config["features"]]
        config = {**config, "student": student, "features": features}
        units = config.pop("projection_units")
        distiller = cls(**config)
        distiller._add_projections(units)
        return distiller


def _answer(y_pred):
    """Return the answer to a lesson; without features, the logits alone."""
    return y_pred if isinstance(y_pred, Answer) else Answer(y_pred)
