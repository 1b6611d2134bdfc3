"""Optimizers with weight decay by role, and tools for weight decay."""

from keras_tricks.optimizers.adamw import AdamW as AdamW
from keras_tricks.optimizers.adaptive_gradient_clipping import (
    AdaptiveGradientClipping as AdaptiveGradientClipping,
)
from keras_tricks.optimizers.adaptive_gradient_clipping import (
    clip_adaptively as clip_adaptively,
)
from keras_tricks.optimizers.convert_weight_decay import (
    convert_weight_decay as convert_weight_decay,
)
from keras_tricks.optimizers.decay_report import DecayReport as DecayReport
from keras_tricks.optimizers.decay_report import decay_report as decay_report
from keras_tricks.optimizers.lamb import Lamb as Lamb
from keras_tricks.optimizers.lion import Lion as Lion
from keras_tricks.optimizers.muon import Muon as Muon
from keras_tricks.optimizers.no_bias_decay import (
    no_bias_decay as no_bias_decay,
)
from keras_tricks.optimizers.schedule_free_adamw import (
    ScheduleFreeAdamW as ScheduleFreeAdamW,
)
from keras_tricks.optimizers.sgd import SGD as SGD
from keras_tricks.optimizers.sharpness_aware import (
    sharpest_step as sharpest_step,
)
from keras_tricks.optimizers.sharpness_aware import (
    sharpness_aware as sharpness_aware,
)
from keras_tricks.optimizers.take_over import take_over as take_over
