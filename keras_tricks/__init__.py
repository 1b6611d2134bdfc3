"""The Bag of Tricks for image classification, on Keras 3."""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING

from keras_tricks import _registration as _registration
from keras_tricks._version import __version__ as __version__

if _TYPE_CHECKING:
    from keras_tricks import ablation as ablation
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
    from keras_tricks import networks as networks
    from keras_tricks import optimizers as optimizers
    from keras_tricks import recipe as recipe
    from keras_tricks import report as report
    from keras_tricks import schedules as schedules
    from keras_tricks import surgery as surgery
    from keras_tricks import training as training
    from keras_tricks.recipe import Recipe as Recipe

__all__ = [
    "Recipe",
    "__version__",
    "ablation",
    "callbacks",
    "data",
    "distillation",
    "distribute",
    "evaluation",
    "export",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "optimizers",
    "recipe",
    "report",
    "schedules",
    "surgery",
    "training",
]


def __getattr__(name):
    """Import a room when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Recipe":
        return _importlib.import_module("keras_tricks.recipe").Recipe
    return _importlib.import_module(f"{__name__}.{name}")


def __dir__():
    return __all__
