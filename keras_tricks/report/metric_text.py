"""Metrics as readers know them: names, units, which way is better."""


def is_share(metric: str) -> bool:
    """Return whether a metric is a share, shown in percent.

    Example:
    >>> is_share("val_accuracy"), is_share("val_loss")
    (True, False)
    """
    return "accuracy" in metric or "mean_ap" in metric


def lower_is_better(metric: str) -> bool:
    """Return whether a metric is an error.

    Example:
    >>> lower_is_better("val_crossentropy"), lower_is_better("val_accuracy")
    (True, False)
    """
    return any(word in metric for word in ("loss", "error", "entropy"))


def metric_name(metric: str) -> str:
    """Return a column of history.csv in words.

    Example:
    >>> metric_name("val_accuracy")
    'validation accuracy'
    """
    name = metric.replace("val_", "validation ", 1).replace("_", " ")
    name = name.replace("mean ap", "mean average precision")
    return name.replace("crossentropy", "cross-entropy")


def format_value(value: float, metric: str) -> str:
    """Return a value of a metric as text.

    Example:
    >>> format_value(0.75, "accuracy"), format_value(0.75, "loss")
    ('75.00 %', '0.7500')
    """
    return f"{100 * value:.2f} %" if is_share(metric) else f"{value:.4f}"


def format_signed(value: float, metric: str) -> str:
    """Return a difference as text, in percentage points of a share.

    Example:
    >>> format_signed(0.0125, "accuracy"), format_signed(-0.5, "loss")
    ('+1.25', '-0.5000')
    """
    return f"{100 * value:+z.2f}" if is_share(metric) else f"{value:+z.4f}"
