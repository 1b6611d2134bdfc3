"""What a distiller logs of its lessons, beside the loss."""

import keras
from keras import ops


def lesson_metrics():
    """Return the means of both terms of the loss, and of the agreement."""
    names = ("hard_loss", "kl", "teacher_agreement")
    return [keras.metrics.Mean(name=name) for name in names]


def update_lesson_metrics(metrics, loss, lesson, logits, sample_weight):
    """Update them with a batch; the terms are weighted as the loss is.

    Args:
        metrics: Those of `lesson_metrics`.
        loss: The `TeacherLoss` whose terms they are.
        lesson: The `Lesson`.
        logits: The student's.
        sample_weight: Weights of the samples, or None.
    """
    *terms, same = loss.terms(
        lesson.labels, lesson.logits, logits, sample_weight
    )
    reduce = _Reduced("term", loss.reduction, "float32")
    one = ops.ones((1,))
    share = reduce(one, one)  # Keras divides losses by the replicas.
    *means, agreement = metrics
    for metric, values in zip(means, terms, strict=True):
        value = reduce(values, logits, sample_weight) / share
        metric.update_state(value, ops.shape(logits)[0])
    agreement.update_state(same)


class _Reduced(keras.losses.Loss):
    """Reduces values as a loss does, by the weights and masks of logits."""

    def call(self, y_true, y_pred):
        return y_true
