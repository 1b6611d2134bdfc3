"""Training on several devices through plain `compile` and `fit`."""

from keras_tricks.distribute.base import Distribution as Distribution
from keras_tricks.distribute.base import ProcessFailed as ProcessFailed
from keras_tricks.distribute.distribute import distribute as distribute
from keras_tricks.distribute.local_batches import LocalBatches as LocalBatches
from keras_tricks.distribute.processes import Processes as Processes
from keras_tricks.distribute.processes import find_processes as find_processes
from keras_tricks.distribute.select import Engine as Engine
from keras_tricks.distribute.select import choose_engine as choose_engine
