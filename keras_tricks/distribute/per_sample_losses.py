"""Losses that are exact where each replica sees a part of the batch."""

import functools


def check_losses(model, factor=None) -> None:
    """Refuses losses of one value, and weighs sums; once they are built.

    Keras divides by the number of samples itself, so it must see them.

    Args:
        model: A compiled model.
        factor: Returns what values are multiplied by where a loss adds them
            up. Defaults to `None`, 1.

    Raises:
        ValueError: If a loss divides by the weights of its part; when it is
            called, if it returns one value.
    """
    losses = model._compile_loss and model._compile_loss._flat_losses
    for _, loss, _, name in losses or ():
        if loss is None or "call" in vars(loss):
            continue
        name = name or loss.name
        if loss.reduction == "mean_with_sample_weight":
            raise ValueError(
                '`reduction` of a loss must not be "mean_with_sample_weight" '
                "where there are several replicas: the weights of each part "
                f"have another sum. Received: loss {name!r}"
            )
        adds = factor is not None and loss.reduction == "sum"
        loss.call = _per_sample(loss.call, name, factor if adds else None)


def _per_sample(call, name, factor):
    @functools.wraps(call)
    def checked(y_true, y_pred):
        values = call(y_true, y_pred)
        if len(values.shape) == 0:
            raise ValueError(
                "`loss` must return a value for each sample where there are "
                "several replicas: what is one value over a part of the "
                f"batch cannot be told. Received: loss {name!r}, which "
                "returns one value"
            )
        return values if factor is None else values * factor()

    return checked
