import math

from keras_tricks import _checks

SCALINGS = ("linear", "sqrt", "none")


def scale_learning_rate(
    base_learning_rate: float,
    batch_size: int,
    base_batch_size: int = 256,
    scaling: str = "linear",
) -> float:
    """Scale a learning rate with the global batch size.

    Formula, with the factor `k = batch_size / base_batch_size`:

    - `scaling="linear"` (the paper's, for SGD): `base_learning_rate * k`
    - `scaling="sqrt"` (for adaptive optimizers, whose step does not grow with
      the gradient): `base_learning_rate * sqrt(k)`
    - `scaling="none"`: `base_learning_rate`

    Args:
        base_learning_rate: Peak learning rate that suits `base_batch_size`;
            the paper uses 0.1.
        batch_size: The *global* batch: images an update sees over all
            replicas and all gradient-accumulation steps.
        base_batch_size: Batch size at which `base_learning_rate` was tuned.
            Defaults to 256.
        scaling: `"linear"` (default), `"sqrt"` or `"none"`.

    Returns:
        The peak learning rate, a Python float.

    Raises:
        ValueError: If the rate is not positive, a batch size is not a
            positive integer, or the scaling is unknown.

    Example:
    >>> scale_learning_rate(0.1, batch_size=1024)
    0.4
    >>> scale_learning_rate(0.001, batch_size=1024, scaling="sqrt")
    0.002

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677)
        - `"sqrt"`: [You et al., 2019](https://arxiv.org/abs/1904.00962),
          section 4.3; [Malladi et al.,
          2022](https://arxiv.org/abs/2205.10287)
    """
    rate = _checks.check_real(
        "base_learning_rate", base_learning_rate, low=0, open_low=True
    )
    batch_size = _checks.check_int("batch_size", batch_size, minimum=1)
    base = _checks.check_int("base_batch_size", base_batch_size, minimum=1)
    _checks.check_choice("scaling", scaling, SCALINGS)
    if scaling == "none":
        return rate
    if scaling == "sqrt":
        return rate * math.sqrt(batch_size / base)
    return rate * batch_size / base
