"""Engines that run the loading of samples in parallel; see `ImageBatches`."""

from keras_tricks.data.pipeline.engines.choose import ENGINES as ENGINES
from keras_tricks.data.pipeline.engines.choose import (
    choose_engine as choose_engine,
)
