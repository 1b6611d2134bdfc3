"""Training on several devices through plain `compile` and `fit`."""

from keras_tricks.distribute.base import Distribution as Distribution
from keras_tricks.distribute.base import ProcessFailed as ProcessFailed
from keras_tricks.distribute.distribute import distribute as distribute
