"""The Bag of Tricks for image classification, on Keras 3."""

from keras_tricks._version import __version__ as __version__
