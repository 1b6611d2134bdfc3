"""Losses that are exact where each replica sees a part of the batch."""

import functools


def check_losses(model, weigh=None) -> None:
    """Refuse losses of one value, and weigh others; once they are built.

    Keras divides by the number of samples itself, so it must see them.

    Args:
        model: A compiled model.
        weigh: Called with a loss and its values, one for each sample or
            more; returns those that it is to reduce. Defaults to `None`.

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
        loss.call = _per_sample(loss, name, weigh)


def _per_sample(loss, name, weigh):
    call = loss.call

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
        return values if weigh is None else weigh(loss, values)

    return checked
