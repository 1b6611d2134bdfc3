"""Label smoothing and knowledge distillation, on logits, in float32."""

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
