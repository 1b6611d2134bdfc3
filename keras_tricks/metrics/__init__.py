"""Metrics that stay honest under mixed, smoothed and packed labels."""

from keras_tricks.metrics.crossentropy import Crossentropy as Crossentropy
from keras_tricks.metrics.dominant_label_accuracy import (
    DominantLabelAccuracy as DominantLabelAccuracy,
)
from keras_tricks.metrics.dominant_label_accuracy import (
    dominant_label_accuracy as dominant_label_accuracy,
)
