"""Mistakes with metrics, of arrays and in Keras."""

import numpy as np

from keras_tricks.metrics import (
    BalancedAccuracy,
    MeanAveragePrecision,
    average_precision,
    balanced_accuracy,
    calibration_error,
)

from .mistakes_in_code import LABELS, LOGITS

MISTAKES = {
    "average precision of shares": (
        lambda _: average_precision(np.full((2, 1), 2.0), np.ones((2, 1))),
        ValueError,
        "`labels` must be 0 or 1. Received: 2.0, at 2 of 2 places",
    ),
    "average precision of scores that are none": (
        lambda _: average_precision([[1], [0]], [[np.nan], [1.0]]),
        ValueError,
        "`scores` must be numbers. Received: NaN, at 1 of 2 places",
    ),
    "counts to the mean average precision": (
        lambda _: MeanAveragePrecision(3).update_state(
            np.full((4, 3), 2.0), LOGITS
        ),
        ValueError,
        "`y_true` must hold a share from 0 to 1 for each class. Received: …",
    ),
    "balanced accuracy of logits": (
        lambda _: balanced_accuracy(LABELS, LOGITS, 3),
        ValueError,
        "`labels` and `predicted` must both have shape (N,). Received: …",
    ),
    "balanced accuracy of label K": (
        lambda _: balanced_accuracy([0, 3], [0, 0], 3),
        ValueError,
        "`labels` must be classes, integers from 0 to 2. Received: 3",
    ),
    "balanced accuracy of prediction K": (
        lambda _: balanced_accuracy([0, 1], [0, 3], 3),
        ValueError,
        "`predicted` must be classes, integers from 0 to 2. Received: 3",
    ),
    "label K to the balanced accuracy": (
        lambda _: BalancedAccuracy(3).update_state(LABELS + 1, LOGITS),
        ValueError,
        "`y_true` must … Received: …",
    ),
    "several classes to the balanced accuracy": (
        lambda _: BalancedAccuracy(3).update_state(
            np.array([[1, 1, 0]] * 4), LOGITS
        ),
        ValueError,
        "`y_true` must … Received: …",
    ),
    "calibration of logits": (
        lambda _: calibration_error(np.array([4.0, 0.5]), np.ones(2)),
        ValueError,
        "`confidences` must be probabilities, from 0 to 1. Received: 4.0",
    ),
    "calibration of other samples": (
        lambda _: calibration_error(np.full(3, 0.5), np.ones(2)),
        ValueError,
        "`confidences` and `hits` must both have shape (N,). Received: …",
    ),
}
