"""What a distiller logs of its lessons, beside the loss."""

import keras
from keras import ops

from keras_tricks.losses._targets import kind_of_labels, without_ignored
from keras_tricks.losses.distillation import soft_term
from keras_tricks.losses.label_smoothing import hard_term
from keras_tricks.metrics import teacher_agreement


def lesson_metrics():
    """Return the means of both terms of the loss, and of the agreement."""
    names = ("hard_loss", "kl", "teacher_agreement")
    return [keras.metrics.Mean(name=name) for name in names]


def update_lesson_metrics(metrics, loss, lesson, logits, sample_weight):
    """Update them with a batch; the terms are weighted as the loss is.

    Args:
        metrics: Those of `lesson_metrics`.
        loss: The `LabelSmoothedKD` whose terms they are.
        lesson: The `Lesson`.
        logits: The student's.
        sample_weight: Weights of the samples, or None.
    """
    labels = ops.convert_to_tensor(lesson.labels)
    hard = hard_term(
        without_ignored(labels, logits, sample_weight),
        logits,
        kind_of_labels(labels, logits),
        loss.label_smoothing,
        loss.convention,
    )
    kl = soft_term(lesson.logits, logits, loss.temperature, "kl")
    reduce = _Reduced("term", loss.reduction, "float32")
    one = ops.ones((1,))
    share = reduce(one, one)  # Keras divides losses by the replicas.
    *terms, agreement = metrics
    for metric, values in zip(terms, (hard, kl), strict=True):
        value = reduce(values, logits, sample_weight) / share
        metric.update_state(value, ops.shape(logits)[0])
    agreement.update_state(teacher_agreement(lesson.logits, logits))


class _Reduced(keras.losses.Loss):
    """Reduces values as a loss does, by the weights and masks of logits."""

    def call(self, y_true, y_pred):
        return y_true
