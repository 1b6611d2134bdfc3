"""SGD with coupled weight decay by role, and tools for weight decay."""

from keras_tricks.optimizers.convert_weight_decay import (
    convert_weight_decay as convert_weight_decay,
)
from keras_tricks.optimizers.decay_report import DecayReport as DecayReport
from keras_tricks.optimizers.decay_report import decay_report as decay_report
from keras_tricks.optimizers.no_bias_decay import (
    no_bias_decay as no_bias_decay,
)
from keras_tricks.optimizers.sgd import SGD as SGD
