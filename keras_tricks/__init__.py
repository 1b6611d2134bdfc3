"""The Bag of Tricks for image classification, on Keras 3."""

from keras_tricks import callbacks as callbacks
from keras_tricks import data as data
from keras_tricks import distillation as distillation
from keras_tricks import distribute as distribute
from keras_tricks import evaluation as evaluation
from keras_tricks import export as export
from keras_tricks import layers as layers
from keras_tricks import losses as losses
from keras_tricks import metrics as metrics
from keras_tricks import models as models
from keras_tricks import optimizers as optimizers
from keras_tricks import report as report
from keras_tricks import schedules as schedules
from keras_tricks import surgery as surgery
from keras_tricks import training as training
from keras_tricks._version import __version__ as __version__
from keras_tricks.recipe.recipe import Recipe as Recipe
