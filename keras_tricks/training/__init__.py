"""From a recipe to a trained model, one call for each arrow."""

from keras_tricks.training.build import build_loss as build_loss
from keras_tricks.training.build import build_model as build_model
from keras_tricks.training.build import build_optimizer as build_optimizer
from keras_tricks.training.build import compile_model as compile_model
from keras_tricks.training.find_batch_size import (
    find_batch_size as find_batch_size,
)
from keras_tricks.training.find_batch_size import largest_batch as largest_batch
from keras_tricks.training.fit_to_data import Choice as Choice
from keras_tricks.training.fit_to_data import DataFacts as DataFacts
from keras_tricks.training.fit_to_data import fit_to_data as fit_to_data
from keras_tricks.training.fit_to_data import look_at_data as look_at_data
from keras_tricks.training.input import build_data as build_data
from keras_tricks.training.input import build_stages as build_stages
from keras_tricks.training.input import load_data as load_data
from keras_tricks.training.on_device import DeviceFinish as DeviceFinish
from keras_tricks.training.on_device import finish_on_device as finish_on_device
from keras_tricks.training.range_test import RangeTest as RangeTest
from keras_tricks.training.range_test import (
    find_learning_rate as find_learning_rate,
)
from keras_tricks.training.run import PreparedRun as PreparedRun
from keras_tricks.training.run import prepare as prepare
from keras_tricks.training.run import train as train
from keras_tricks.training.run_folder import check_same as check_same
from keras_tricks.training.teacher import build_distiller as build_distiller
