from keras_tricks import _checks

CONVENTIONS = ("coupled", "decoupled_lr", "decoupled", "regularizer")


def convert_weight_decay(
    value: float,
    source: str,
    target: str,
    momentum: float = 0.9,
    learning_rate: float | None = None,
) -> float:
    """Convert a weight decay between the four conventions in use.

    With the coupled λ, momentum μ and learning rate η, the same long-run
    shrinking of the weights at a *constant* learning rate is:

    - `"coupled"`: λ, added to the gradient as `λ w` before the momentum
      (PyTorch's SGD, MXNet, `keras_tricks.optimizers.SGD`)
    - `"decoupled_lr"`: `λ / (1 - μ)`, `w = w - η value w` outside the
      momentum (core Keras' `weight_decay`)
    - `"decoupled"`: `η λ / (1 - μ)`, `w = w - value w`, independent of the
      learning rate
    - `"regularizer"`: `λ / 2`, the factor of `keras.regularizers.L2`, whose
      gradient has a 2

    Args:
        value: The weight decay in the convention `source`, at least 0.
        source: One of the four names.
        target: One of the four names.
        momentum: μ in [0, 1), used by the decoupled conventions. Defaults
            to 0.9.
        learning_rate: η > 0, required if one side is `"decoupled"`.

    Returns:
        The weight decay in the convention `target`.

    Raises:
        ValueError: If a name is unknown or a number outside its range.

    Example:
    >>> round(convert_weight_decay(1e-4, "coupled", "decoupled_lr"), 6)
    0.001
    >>> convert_weight_decay(1e-4, "coupled", "regularizer")
    5e-05

    Reference:
        - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1711.05101),
          section 2
    """
    value = _checks.check_real("value", value, low=0)
    _checks.check_choice("source", source, CONVENTIONS)
    _checks.check_choice("target", target, CONVENTIONS)
    _checks.check_real("momentum", momentum, 0, 1, open_high=True)
    if "decoupled" in (source, target):
        _checks.check_real("learning_rate", learning_rate, low=0, open_low=True)
    factor = {
        "coupled": 1.0,
        "decoupled_lr": 1 / (1 - momentum),
        "decoupled": (learning_rate or 0) / (1 - momentum),
        "regularizer": 0.5,
    }
    return value * factor[target] / factor[source]
