"""Mistakes with the learning rates of the parts of a network."""

import keras

from keras_tricks import Recipe, training
from keras_tricks.optimizers import AdamW
from keras_tricks.surgery import freeze, layer_rate_scales

from .mistakes_in_code import dense


class NoGraph(keras.Model):
    """A model of the user's, whose order of layers nobody knows."""

    def call(self, x):
        return x


def compile_misspelled(_):
    model = dense()
    optimizer = AdamW(rate_scales={f"{model.layers[-1].name}/kernle": 0.1})
    optimizer.build(model.trainable_variables)


# The mistake, its error, and the message, in which an ellipsis stands for
# any text.
MISTAKES = {
    "a misspelled part of random weights": (
        lambda _: Recipe(freeze="stem,backbon"),
        ValueError,
        "`freeze` must be backbone, …(is it 'backbone'?). Received: …backbon'",
    ),
    "rates by depth of random weights": (
        lambda _: Recipe(layer_decay=0.75),
        ValueError,
        "`layer_decay` must be 1 without weights to start from, … Received: "
        "layer_decay=0.75",
    ),
    "rates by depth where the head trains alone": (
        lambda _: Recipe(weights="w", freeze="backbone", layer_decay=0.75),
        ValueError,
        "`layer_decay` must be 1 with freeze='backbone', … Received: …=0.75",
    ),
    "rates that grow with the depth": (
        lambda _: Recipe(weights="w", layer_decay=1.25),
        ValueError,
        "`layer_decay` must be …[0, 1]. Received: layer_decay=1.25",
    ),
    "no rate but for the head": (
        lambda _: Recipe(weights="w", layer_decay=0),
        ValueError,
        "`layer_decay` must be above 0, … Received: layer_decay=0.0",
    ),
    "a rate for a head that is frozen": (
        lambda _: Recipe(weights="w", freeze="head", head_learning_rate=0.1),
        ValueError,
        "`head_learning_rate` must be None with freeze='head', …=0.1",
    ),
    "a rate for a head that trains alone": (
        lambda _: Recipe(
            weights="w", freeze="backbone", head_learning_rate=0.1
        ),
        ValueError,
        "`head_learning_rate` must be None with freeze='backbone', …=0.1",
    ),
    "no rate for the head": (
        lambda _: Recipe(head_learning_rate=0),
        ValueError,
        "`head_learning_rate` must be above 0; … Received: …=0.0",
    ),
    "a rate for the head alone": (
        lambda _: Recipe(base_learning_rate=0, head_learning_rate=0.1),
        ValueError,
        "`base_learning_rate` must be above 0 with head_learning_rate, …=0.0",
    ),
    "a rate of SGD for a head of AdamW": (
        lambda _: Recipe(
            optimizer="adamw", base_learning_rate=1e-3, head_learning_rate=0.1
        ),
        ValueError,
        "`head_learning_rate` must be below 0.1, …'adamw'. Received: …=0.1",
    ),
    "rates by depth of a model that is not given": (
        lambda _: training.build_optimizer(Recipe(head_learning_rate=1), 640),
        ValueError,
        "`model` must be given with `layer_decay` or … Received: model=None, …",
    ),
    "rates by depth of a model without a graph": (
        lambda _: layer_rate_scales(NoGraph(), 0.5),
        ValueError,
        "`model` must be … Received: …",
    ),
    "a rate for a variable that is misspelled": (
        compile_misspelled,
        ValueError,
        "`rate_scales` must have paths, … Received: …/kernle' (is it …)",
    ),
    "freezing a list of parts": (
        lambda _: freeze(dense(), ["stem", "head"]),
        ValueError,
        "`what` must be a string, … Received: what=['stem', 'head']",
    ),
    "unfreezing another model": (
        lambda _: freeze(dense(), "bias").unfreeze(dense()),
        ValueError,
        "`model` must be the one that was frozen. Received: model=…",
    ),
}
