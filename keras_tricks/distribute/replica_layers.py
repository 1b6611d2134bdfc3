"""Layers of replicas that each see a part of the batch, on any backend."""

import functools

import keras

STRIDE = 0x9E3779B1
"""What the seeds of replicas differ by: layers often have the next ones."""
MASK = 2**31 - 1


def draw_apart(model, fold):
    """Give each replica random numbers of its own.

    Keras gives all the same, so that dropout drops the same units of the
    first sample of each part. Replica 0 draws what one device does.

    Args:
        model: A model.
        fold: Returns a seed of this replica, of one that all have.
    """
    for layer in layers(model):
        for generator in layer._seed_generators:
            if "next" not in vars(generator):
                generator.next = _folded(generator.next, fold)


def _folded(draw, fold):
    @functools.wraps(draw)
    def next_of_replica(*args, **kwargs):
        return fold(draw(*args, **kwargs))

    return next_of_replica


def synchronize_batch_norm(model, combine):
    """Let batch norms take the statistics of the whole batch.

    As `synchronized=True` does, which would be saved, and fail on other
    backends; its variance, a difference of two squares, loses digits.

    Args:
        model: A model.
        combine: Returns mean and variance of the whole batch, of those of
            the part of this replica.
    """
    for layer in batch_norms(model):
        if "_moments" not in vars(layer):
            layer._moments = _combined(layer, combine)


def _combined(layer, combine):
    local_moments = layer._moments

    @functools.wraps(local_moments)
    def moments(inputs, mask):
        if mask is not None:
            raise ValueError(
                '`norm` must be "local" with masked inputs of batch norm. '
                f"Received: layer {layer.name!r} with a mask"
            )
        return combine(*local_moments(inputs, mask))

    return moments


def moving_statistics(model):
    """Return moving mean and variance of all batch norms that are trained."""
    return [
        variable
        for layer in batch_norms(model)
        for variable in layer.non_trainable_variables
    ]


def batch_norms(model):
    """Return those of a model that are trained."""
    return [
        layer
        for layer in layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
    ]


def layers(model):
    """Return all layers of a model, at any depth."""
    return model._flatten_layers(include_self=True, recursive=True)
