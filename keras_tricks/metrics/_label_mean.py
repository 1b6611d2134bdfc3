"""Means over samples, of which some labels may count nowhere."""

import keras
from keras import ops

from keras_tricks._types import Tensor
from keras_tricks.losses._targets import (
    check_ignore_label,
    kept_weights,
    without_ignored,
)


class LabelMean(keras.metrics.MeanMetricWrapper):
    """A mean over samples without those of a label that is to be ignored."""

    def __init__(self, function, name, dtype, ignore_label=None, **arguments):
        self.ignore_label = check_ignore_label(ignore_label)
        super().__init__(function, name=name, dtype=dtype, **arguments)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        y_true = ops.convert_to_tensor(y_true)
        y_pred = ops.convert_to_tensor(y_pred)
        if self.ignore_label is not None:
            _, sample_weight = kept_weights(
                self.ignore_label, y_true, y_pred, sample_weight
            )
        if sample_weight is not None:
            y_true = without_ignored(y_true, y_pred, sample_weight)
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "ignore_label": self.ignore_label,
        }
