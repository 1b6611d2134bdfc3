"""Losses of smoothed, weighted and distilled labels, on logits, in float32."""

from keras_tricks.losses.binary_crossentropy import (
    LabelSmoothedBinaryCrossentropy as LabelSmoothedBinaryCrossentropy,
)
from keras_tricks.losses.binary_crossentropy import (
    label_smoothed_binary_crossentropy as label_smoothed_binary_crossentropy,
)
from keras_tricks.losses.binary_kd import (
    LabelSmoothedBinaryKD as LabelSmoothedBinaryKD,
)
from keras_tricks.losses.binary_kd import (
    binary_distillation_loss as binary_distillation_loss,
)
from keras_tricks.losses.class_weights import (
    balanced_weights as balanced_weights,
)
from keras_tricks.losses.class_weights import (
    effective_number_weights as effective_number_weights,
)
from keras_tricks.losses.distillation import (
    KnowledgeDistillation as KnowledgeDistillation,
)
from keras_tricks.losses.distillation import (
    distillation_loss as distillation_loss,
)
from keras_tricks.losses.label_smoothed_kd import (
    LabelSmoothedKD as LabelSmoothedKD,
)
from keras_tricks.losses.label_smoothed_kd import (
    label_smoothed_kd as label_smoothed_kd,
)
from keras_tricks.losses.label_smoothed_kd import pack_targets as pack_targets
from keras_tricks.losses.label_smoothing import (
    LabelSmoothedCrossentropy as LabelSmoothedCrossentropy,
)
from keras_tricks.losses.label_smoothing import (
    label_smoothed_crossentropy as label_smoothed_crossentropy,
)
from keras_tricks.losses.label_smoothing import smooth_labels as smooth_labels
