"""What to train: one field for each trick, checked at construction."""

from keras_tricks.recipe.presets import PRESETS as PRESETS
from keras_tricks.recipe.recipe import Recipe as Recipe
