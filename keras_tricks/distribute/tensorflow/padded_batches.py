"""Evaluation in whole batches: rows that fill up the last one count nothing."""

import functools
import inspect
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from keras import ops, tree

from keras_tricks.data.pipeline.base import TransformedBatches
from keras_tricks.distribute.loss_checks import check_losses

_REAL = ContextVar("real", default=None)
"""`Padded.real` of the batch that is evaluated, in the thread of a replica."""


class Padded(NamedTuple):
    """A batch of a fixed number of rows, of which the first ones are real.

    Attributes:
        batch: Arrays or tensors of as many rows.
        real: float32 of shape `(rows,)`: 1 for real rows, 0 for added ones.
    """

    batch: Any
    real: Any


class PaddedBatches(TransformedBatches):
    """Batches of which incomplete ones are filled up with their first row.

    Copies, since a row of zeros may give NaN, which weighs more than nothing.

    Args:
        batches: `keras_tricks.data.Batches`, `ImageBatches` or other
            `EpochBatches`.

    Example:
    >>> from keras_tricks.data import Batches
    >>> images, labels = np.zeros((3, 2, 2, 1), "uint8"), np.arange(3)
    >>> batches = Batches(
    ...     images, labels, 2, shuffle=False, drop_remainder=False, mean=0,
    ...     std=1,
    ... )
    >>> (images, labels), real = PaddedBatches(batches)[1]
    >>> labels.tolist(), real.tolist()
    ([2, 2], [1.0, 0.0])
    """

    def _transform(self, get, step):
        batch = tree.map_structure(np.asarray, get(step))
        rows = len(tree.flatten(batch)[0])
        places = np.arange(self.batch_size)
        real = places < rows
        batch = tree.map_structure(lambda x: x[places * real], batch)
        return Padded(batch, real.astype("float32"))


def count_real_rows(model) -> None:
    """Let `evaluate` and `predict` take `Padded` batches; count real rows.

    Losses and metrics get the weight 0 for added rows, beside the weights of
    the user, and means are those of real rows. What `predict_step` returns
    is `Padded` as well.

    Args:
        model: A compiled model.

    Raises:
        ValueError: When a batch is evaluated, if a metric takes no
            `sample_weight`; when it is trained.
    """
    train_step, test_step = model.train_step, model.test_step
    predict_step, symbolic_build = model.predict_step, model._symbolic_build

    def build(iterator=None, data_batch=None):
        if isinstance(data_batch, Padded):
            data_batch = data_batch.batch
        symbolic_build(iterator, data_batch)
        check_losses(model, _weigh_losses)

    def train(data):
        if isinstance(data, Padded):
            raise ValueError(
                "Batches of training must be whole where shapes are fixed: "
                "drop the remainder. Received: a batch that may have fewer rows"
            )
        return train_step(data)

    def test(data):
        if not isinstance(data, Padded):
            return test_step(data)
        for metric in _leaves(model.metrics):
            _weigh_updates(metric)
        token = _REAL.set(data.real)
        try:
            return test_step(data.batch)
        finally:
            _REAL.reset(token)

    def predict(data):
        if not isinstance(data, Padded):
            return predict_step(data)
        return Padded(predict_step(data.batch), data.real)

    model.train_step, model.test_step = train, test
    model.predict_step, model._symbolic_build = predict, build


def cut_predictions(model) -> None:
    """Remove added rows from what `predict` returns.

    Args:
        model: A model after `count_real_rows`, whose `predict_function`
            returns the rows of all replicas in their order.
    """
    make = model.make_predict_function

    def make_predict_function(force=False):
        before = model.predict_function
        make(force)
        function = model.predict_function
        if function is before:
            return

        def predict(batches):
            outputs = function(batches)
            if not isinstance(outputs, Padded):
                return outputs
            real = np.asarray(outputs.real) > 0
            return tree.map_structure(
                lambda x: np.asarray(x)[real], outputs.batch
            )

        model.predict_function = predict

    model.make_predict_function = make_predict_function


def _weigh_losses(loss, values):
    """Weigh losses so that Keras' mean of all rows is that of the real."""
    real = _REAL.get()
    if real is None:
        return values
    real = ops.cast(real, values.dtype)
    if loss.reduction != "sum":
        real = real * (real.shape[0] / ops.maximum(ops.sum(real), 1))
    return values * _like_rows(real, values)


def _leaves(metrics):
    """Yield the metrics that count, of those that only hold others too."""
    for metric in metrics:
        if hasattr(metric, "metrics"):
            yield from _leaves(metric.metrics)
        else:
            yield metric


def _weigh_updates(metric):
    """Let a metric give added rows the weight 0."""
    update = metric.update_state
    if getattr(update, "weighs_rows", False):
        return
    signature = inspect.signature(update)
    if "sample_weight" not in signature.parameters:
        raise ValueError(
            "`metrics` must take `sample_weight` where shapes are fixed: the "
            "rows that fill up a batch have the weight 0. "
            f"Received: metric {metric.name!r}"
        )

    @functools.wraps(update)
    def update_state(*args, **kwargs):
        real = _REAL.get()
        if real is None:
            return update(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        values = tree.flatten(next(iter(bound.arguments.values())))[0]
        weight = bound.arguments.get("sample_weight")
        bound.arguments["sample_weight"] = _real_weight(
            real, weight, len(ops.shape(values)) == 0
        )
        return update(*bound.args, **bound.kwargs)

    update_state.weighs_rows = True
    metric.update_state = update_state


def _real_weight(real, weight, one_value):
    if weight is None:
        return ops.max(real) if one_value else real
    weight = ops.cast(weight, "float32")
    if one_value:  # A mean over the batch, whose weight is that of its rows.
        return weight * ops.mean(real)
    return weight * _like_rows(real, weight)


def _like_rows(real, values):
    """Return a number of each row with axes of length 1, to multiply values."""
    rank = max(len(values.shape), 1)
    return ops.reshape(real, (-1,) + (1,) * (rank - 1))
