from keras_tricks.layers.batch_norm import (
    BatchNormalization as BatchNormalization,
)
from keras_tricks.layers.conv_norm import ConvNorm as ConvNorm
from keras_tricks.layers.cut_mix import CutMix as CutMix
from keras_tricks.layers.cut_mix import cut_and_paste as cut_and_paste
from keras_tricks.layers.cut_mix import draw_cutmix as draw_cutmix
from keras_tricks.layers.drop_path import DropPath as DropPath
from keras_tricks.layers.frozen_norm import (
    FrozenBatchNormalization as FrozenBatchNormalization,
)
from keras_tricks.layers.mix_up import MixUp as MixUp
from keras_tricks.layers.mix_up import draw_mixup as draw_mixup
from keras_tricks.layers.mix_up import mix as mix
from keras_tricks.layers.mix_up_or_cut_mix import (
    MixUpOrCutMix as MixUpOrCutMix,
)
from keras_tricks.layers.pooling import PaddedPooling2D as PaddedPooling2D
from keras_tricks.layers.residual import BasicBlock as BasicBlock
from keras_tricks.layers.residual import BottleneckBlock as BottleneckBlock
from keras_tricks.layers.separable import SeparableBlock as SeparableBlock
from keras_tricks.layers.shortcut import Shortcut as Shortcut
from keras_tricks.layers.stem import Stem as Stem
