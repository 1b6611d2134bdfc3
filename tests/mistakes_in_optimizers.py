"""Mistakes with optimizers in code, beside those of mistakes_in_code.py."""

import keras

from keras_tricks.optimizers import (
    SGD,
    AdamW,
    AdaptiveGradientClipping,
    Lamb,
    Lion,
    Muon,
    ScheduleFreeAdamW,
    decay_report,
    sharpness_aware,
    take_over,
)

from .mistakes_in_fine_tuning import NoGraph


def dense():
    layer = keras.layers.Dense(3, name="logits")
    return keras.Sequential([keras.Input((2,)), layer], name="mine")


def built(optimizer):
    optimizer.build(dense().trainable_variables)
    return optimizer


MISTAKES = {
    "a norm below zero": (
        lambda _: SGD(0.1, clipnorm=-1.0),
        ValueError,
        "`clipnorm` must be a number in (0, inf). Received: clipnorm=-1.0",
    ),
    "a norm of all gradients of zero": (
        lambda _: Lion(0.1, global_clipnorm=0),
        ValueError,
        "`global_clipnorm` must be a number in … Received: global_clipnorm=0",
    ),
    "values clipped to below zero": (
        lambda _: Lamb(0.1, clipvalue=-0.5),
        ValueError,
        "`clipvalue` must be a number in (0, inf). Received: clipvalue=-0.5",
    ),
    "a loss scale below zero": (
        lambda _: AdamW(0.1, loss_scale_factor=-1.0),
        ValueError,
        "`loss_scale_factor` must be a number in … Received: …=-1.0",
    ),
    "no accumulated batches": (
        lambda _: ScheduleFreeAdamW(0.1, gradient_accumulation_steps=0),
        ValueError,
        "`gradient_accumulation_steps` must be an integer of at least 2. "
        "Received: gradient_accumulation_steps=0",
    ),
    "half an accumulated batch": (
        lambda _: SGD(0.1, gradient_accumulation_steps=2.5),
        ValueError,
        "`gradient_accumulation_steps` must be an integer … Received: …=2.5",
    ),
    "an epsilon below zero": (
        lambda _: AdamW(0.1, epsilon=-1.0),
        ValueError,
        "`epsilon` must be a number in (0, inf). Received: epsilon=-1.0",
    ),
    "a word for no Nesterov momentum": (
        lambda _: SGD(0.1, nesterov="no"),
        ValueError,
        "`nesterov` must be True or False. Received: nesterov='no'",
    ),
    "no steps of Newton and Schulz": (
        lambda _: Muon(ns_steps=0),
        ValueError,
        "`ns_steps` must be an integer of at least 1. Received: ns_steps=0",
    ),
    "steps of Muon against the gradient": (
        lambda _: Muon(rms_rate=-1.0),
        ValueError,
        "`rms_rate` must be a number in (0, inf). Received: rms_rate=-1.0",
    ),
    "a head for Adam that is not there": (
        lambda _: built(Muon(adam="heaad")),
        ValueError,
        "`adam` must match at least one of the 2 trainable variables, such "
        "as 'mine/logits/bias'. Received: adam='heaad'",
    ),
    "a head not to be clipped that is not there": (
        lambda _: built(
            SGD(
                0.1,
                adaptive_clipping=AdaptiveGradientClipping(exclude="heaad"),
            )
        ),
        ValueError,
        "`exclude` must match at least one … Received: exclude='heaad'",
    ),
    "taking over from another class": (
        lambda _: take_over(built(SGD(0.1)), built(AdamW())),
        ValueError,
        "`other` must be of the class of `optimizer`, SGD. Received: …AdamW…",
    ),
    "taking over what did not begin": (
        lambda _: take_over(built(SGD(0.1)), SGD(0.1)),
        ValueError,
        "`other` must be an optimizer that is built: … Received: other=…SGD…",
    ),
    "decay of a model that is not built": (
        lambda _: decay_report(SGD(0.1), NoGraph()),
        ValueError,
        "`model` must be a Keras model that is built: … Received: model=…",
    ),
    "decay of a model by an optimizer": (
        lambda _: decay_report(dense(), SGD(0.1)),
        ValueError,
        "`optimizer` must be a Keras optimizer, … Received: optimizer=…",
    ),
    "sharpness of no model": (
        lambda _: sharpness_aware("mine"),
        ValueError,
        "`model` must be a Keras model. Received: model='mine'",
    ),
}
