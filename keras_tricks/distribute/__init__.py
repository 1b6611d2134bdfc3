"""Training on several devices through plain `compile` and `fit`."""

from keras_tricks.distribute.distribute import distribute as distribute
from keras_tricks.distribute.distribution import Distribution as Distribution
from keras_tricks.distribute.spec import Engine as Engine
from keras_tricks.distribute.spec import choose_engine as choose_engine
