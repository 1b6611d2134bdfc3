"""Callbacks that the paper's recipe needs and core Keras lacks.

Core Keras' own callbacks do the rest: `keras.callbacks.CSVLogger`,
`ModelCheckpoint`, `TerminateOnNaN`.
Callbacks that add to the logs go before those that write them.
"""

from keras_tricks.callbacks.backup import Backup as Backup
from keras_tricks.callbacks.explain_nan import ExplainNaN as ExplainNaN
from keras_tricks.callbacks.exponential_moving_average import (
    ExponentialMovingAverage as ExponentialMovingAverage,
)
from keras_tricks.callbacks.learning_rate_logger import (
    LearningRateLogger as LearningRateLogger,
)
from keras_tricks.callbacks.loss_scale_logger import (
    LossScaleLogger as LossScaleLogger,
)
from keras_tricks.callbacks.mix_up_off import MixUpOff as MixUpOff
from keras_tricks.callbacks.preempt import Preempt as Preempt
from keras_tricks.callbacks.preempt import Preempted as Preempted
from keras_tricks.callbacks.schedule_free_average import (
    ScheduleFreeAverage as ScheduleFreeAverage,
)
from keras_tricks.callbacks.set_epoch import SetEpoch as SetEpoch
from keras_tricks.callbacks.tensor_board_scalars import (
    TensorBoardScalars as TensorBoardScalars,
)
from keras_tricks.callbacks.throughput import Throughput as Throughput
