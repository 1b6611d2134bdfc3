import dataclasses
import math

import keras

from keras_tricks import _backend
from keras_tricks.optimizers._by_role import ByRole
from keras_tricks.optimizers._roles import decays
from keras_tricks.optimizers.muon import Muon


@dataclasses.dataclass(frozen=True)
class DecayReport:
    """Which variables of a model decay and which do not.

    Args:
        decayed: Tuple of (path, number of values) of decayed variables.
        excluded: The same for the others.
        weight_decay: The weight decay, as the optimizer holds it; the
            largest of the parts of a `keras.optimizers.MultiOptimizer`.
        by_adam: The same as `decayed` for what `keras_tricks.optimizers.Muon`
            leaves to Adam; None with other optimizers.

    Example:
    >>> kernel, bias = ("dense/kernel", 40), ("dense/bias", 4)
    >>> report = DecayReport((kernel,), (bias,), weight_decay=1e-4)
    >>> print(report.summary())
    decayed: 1 variables, 40 values
    not decayed: 1 variables, 4 values
    """

    decayed: tuple[tuple[str, int], ...]
    excluded: tuple[tuple[str, int], ...]
    weight_decay: float
    by_adam: tuple[tuple[str, int], ...] | None = None

    def summary(self) -> str:
        """Return lines with the counts."""
        lines = []
        for name, rows in (
            ("decayed", self.decayed),
            ("not decayed", self.excluded),
            ("left to Adam", self.by_adam),
        ):
            if rows is None:
                continue
            values = sum(size for _, size in rows)
            lines.append(f"{name}: {len(rows)} variables, {values:,} values")
        return "\n".join(lines)

    def __str__(self):
        lines = [f"weight decay {self.weight_decay:g}"]
        for mark, rows in (("decay", self.decayed), ("-", self.excluded)):
            lines += [f"{mark:>6}  {size:>12,}  {p}" for p, size in rows]
        for path, size in self.by_adam or ():
            lines.append(f"{'adam':>6}  {size:>12,}  {path}")
        return "\n".join([*lines, self.summary()])


def unwrap(optimizer):
    """Return the optimizer inside a `LossScaleOptimizer`, or the optimizer."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def parts(optimizer, model):
    """Return each trainable variable of a model and what updates it.

    That is the optimizer itself, or one of those that a
    `keras.optimizers.MultiOptimizer` is made of.
    """
    inner = unwrap(optimizer)
    choose = getattr(inner, "_optimizer_map", lambda variable: inner)
    return [(v, choose(v)) for v in model.trainable_variables]


def make_report(optimizer, model) -> DecayReport:
    """Return what `decay_report` prints."""
    largest = 0.0
    decayed: list[tuple[str, int]] = []
    excluded: list[tuple[str, int]] = []
    pairs = parts(optimizer, model)
    for variable, part in pairs:
        weight_decay = part.weight_decay or 0.0
        largest = max(largest, weight_decay)
        if isinstance(part, ByRole):
            chosen = decays(variable, part.decay)
        else:
            chosen = part._use_weight_decay(_backend.native_variable(variable))
        row = (variable.path, math.prod(variable.shape))
        (decayed if chosen and weight_decay else excluded).append(row)
    return DecayReport(
        tuple(decayed), tuple(excluded), largest, _left_to_adam(pairs)
    )


def _left_to_adam(pairs):
    """Return what parts that are `Muon` leave to Adam, or None without any."""
    rows = None
    for part in {id(part): part for _, part in pairs}.values():
        if isinstance(part, Muon):
            mine = [variable for variable, its in pairs if its is part]
            left = zip(mine, part.left_to_adam(mine), strict=True)
            rows = (rows or []) + [
                (v.path, math.prod(v.shape)) for v, adam in left if adam
            ]
    return None if rows is None else tuple(rows)


def decay_report(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> DecayReport:
    """Print and return what an optimizer decays and what it does not.

    Args:
        optimizer: One of `keras_tricks.optimizers`, any core Keras
            optimizer, a `MultiOptimizer` of them, or a
            `LossScaleOptimizer` around one.
        model: A built Keras model; its trainable variables are listed.

    Returns:
        A `DecayReport` with the paths and sizes; `print(report)` gives the
        table, `report.summary()` the counts.

    Raises:
        ValueError: If the first is no optimizer, or the second no model that
            is built.

    Example:
    >>> from keras_tricks.optimizers import SGD
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> report = decay_report(SGD(0.1), model)  # doctest: +ELLIPSIS
    weight decay 0.0001
    ...
    decayed: 1 variables, 6 values
    not decayed: 1 variables, 3 values

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1, "no
          bias decay"
    """
    if not isinstance(unwrap(optimizer), keras.optimizers.Optimizer):
        raise ValueError(
            "`optimizer` must be a Keras optimizer, such as "
            f"`model.optimizer`. Received: optimizer={optimizer!r}"
        )
    if not getattr(model, "built", False):
        raise ValueError(
            "`model` must be a Keras model that is built: call it on data or "
            f"give it an `Input`. Received: model={model!r}"
        )
    report = make_report(optimizer, model)
    print(report)
    return report
