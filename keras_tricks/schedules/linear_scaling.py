from keras_tricks import _checks


def scale_learning_rate(
    base_learning_rate: float,
    batch_size: int,
    base_batch_size: int = 256,
) -> float:
    """Scale a learning rate linearly with the global batch size.

    Formula: `learning_rate = base_learning_rate * batch_size /
    base_batch_size`.

    Args:
        base_learning_rate: Peak learning rate that suits `base_batch_size`;
            the paper uses 0.1.
        batch_size: The *global* batch: images an update sees over all
            replicas and all gradient-accumulation steps.
        base_batch_size: Batch size at which `base_learning_rate` was tuned.
            Defaults to 256.

    Returns:
        The peak learning rate, a Python float.

    Raises:
        ValueError: If the rate is not positive or a batch size is not a
            positive integer.

    Example:
    >>> scale_learning_rate(0.1, batch_size=1024)
    0.4

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677)
    """
    rate = _checks.check_real(
        "base_learning_rate", base_learning_rate, low=0, open_low=True
    )
    batch_size = _checks.check_int("batch_size", batch_size, minimum=1)
    base = _checks.check_int("base_batch_size", base_batch_size, minimum=1)
    return rate * batch_size / base
