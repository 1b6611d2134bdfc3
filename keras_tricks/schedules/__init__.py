"""Learning-rate rules: linear scaling, warmup, cosine and step decay."""

from keras_tricks.schedules.cosine_decay import CosineDecay as CosineDecay
from keras_tricks.schedules.cosine_decay import cosine_decay as cosine_decay
from keras_tricks.schedules.exponential_range import (
    ExponentialRange as ExponentialRange,
)
from keras_tricks.schedules.exponential_range import (
    exponential_range as exponential_range,
)
from keras_tricks.schedules.linear_scaling import (
    scale_learning_rate as scale_learning_rate,
)
from keras_tricks.schedules.step_decay import StepDecay as StepDecay
from keras_tricks.schedules.step_decay import step_decay as step_decay
from keras_tricks.schedules.warmup import Warmup as Warmup
from keras_tricks.schedules.warmup import warmup as warmup
