"""Keras' own metrics beside labels that they do not read."""

import keras

_OF_INTEGERS = (
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy,
    keras.metrics.SparseCategoricalCrossentropy,
)
_OF_WEIGHTS = (
    keras.metrics.CategoricalAccuracy,
    keras.metrics.TopKCategoricalAccuracy,
    keras.metrics.CategoricalCrossentropy,
)


def check_label_kinds(metrics, kinds):
    """Refuse metrics of Keras to which the labels mean something else.

    Of `"accuracy"` Keras makes what fits the labels of its first batch: after
    mixed labels, integer ones give numbers without a meaning.

    Args:
        metrics: `metrics` of a compiled model.
        kinds: Set of `"integer"`, `"dense"` and `"packed"`, those there were.

    Raises:
        ValueError: If a metric is for other labels.
    """
    compiled = [part for m in metrics for part in getattr(m, "metrics", [m])]
    for metric in compiled:
        odd = set()
        if isinstance(metric, _OF_INTEGERS):
            odd = kinds - {"integer"}
        elif isinstance(metric, _OF_WEIGHTS):
            odd = kinds & {"integer"}
        if odd:
            raise ValueError(
                "`metrics` must be for the labels of training and of "
                "validation alike: keras_tricks.metrics has some for labels "
                "of every kind, such as DominantLabelAccuracy for accuracy. "
                f"Received: {type(metric).__name__} as {metric.name!r}, "
                f"{odd.pop()} labels"
            )
