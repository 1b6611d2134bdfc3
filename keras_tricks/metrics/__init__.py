"""Metrics that stay honest under mixed, smoothed and packed labels."""

from keras_tricks.metrics.average_precision import (
    MeanAveragePrecision as MeanAveragePrecision,
)
from keras_tricks.metrics.average_precision import (
    average_precision as average_precision,
)
from keras_tricks.metrics.balanced_accuracy import (
    BalancedAccuracy as BalancedAccuracy,
)
from keras_tricks.metrics.balanced_accuracy import (
    balanced_accuracy as balanced_accuracy,
)
from keras_tricks.metrics.calibration_error import (
    CalibrationError as CalibrationError,
)
from keras_tricks.metrics.calibration_error import (
    calibration_error as calibration_error,
)
from keras_tricks.metrics.crossentropy import Crossentropy as Crossentropy
from keras_tricks.metrics.dominant_label_accuracy import (
    DominantLabelAccuracy as DominantLabelAccuracy,
)
from keras_tricks.metrics.dominant_label_accuracy import (
    dominant_label_accuracy as dominant_label_accuracy,
)
from keras_tricks.metrics.teacher import TeacherAgreement as TeacherAgreement
from keras_tricks.metrics.teacher import TeacherKL as TeacherKL
from keras_tricks.metrics.teacher import teacher_agreement as teacher_agreement
from keras_tricks.metrics.top_k_accuracy import TopKAccuracy as TopKAccuracy
from keras_tricks.metrics.top_k_accuracy import top_k_accuracy as top_k_accuracy
