"""Edits of a network that somebody has already, with a report on each."""

from keras_tricks.surgery.activations import (
    swap_activations as swap_activations,
)
from keras_tricks.surgery.batch_norm import (
    freeze_batch_norm as freeze_batch_norm,
)
from keras_tricks.surgery.batch_norm import swap_batch_norm as swap_batch_norm
from keras_tricks.surgery.drop_path import add_drop_path as add_drop_path
from keras_tricks.surgery.freeze import FreezeReport as FreezeReport
from keras_tricks.surgery.freeze import freeze as freeze
from keras_tricks.surgery.groups import LayerGroup as LayerGroup
from keras_tricks.surgery.groups import find_groups as find_groups
from keras_tricks.surgery.head import change_head as change_head
from keras_tricks.surgery.rate_scales import (
    layer_rate_scales as layer_rate_scales,
)
from keras_tricks.surgery.report import SurgeryReport as SurgeryReport
from keras_tricks.surgery.split_head import split_head as split_head
from keras_tricks.surgery.variant import (
    change_resnet_variant as change_resnet_variant,
)
from keras_tricks.surgery.zero_gamma import ZeroGammaReport as ZeroGammaReport
from keras_tricks.surgery.zero_gamma import zero_gamma as zero_gamma
