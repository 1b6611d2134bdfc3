from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor

Numbers = Sequence[float] | np.ndarray


def balanced_weights(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Weigh classes by the inverse of how many samples they have.

    Formula: `w_c = N / (K n_c)` for class c with n_c of N samples, as
    scikit-learn's `"balanced"`. The mean weight of a sample is then 1, so that
    a loss, and its learning rate, keep their scale.

    Args:
        counts: n, integers of at least 1, shape (K,).

    Returns:
        float64, shape (K,).

    Raises:
        ValueError: If a class has no sample.

    Example:
    >>> balanced_weights([30, 10]).round(4).tolist()
    [0.6667, 2.0]

    Reference:
        - [King and Zeng, 2001](https://doi.org/10.1093/oxfordjournals.pan.a004868)
    """
    found = check_counts(counts)
    return found.sum() / (len(found) * found)


def effective_number_weights(
    counts: Sequence[int] | np.ndarray, beta: float = 0.999
) -> np.ndarray:
    """Weigh classes by the inverse of the effective number of their samples.

    Formula: `w_c ∝ (1 - β) / (1 - β^n_c)`, and `Σ w_c = K` as in the paper.
    β = 0 weighs all alike, β towards 1 by the inverse of their number.

    Args:
        counts: n, integers of at least 1, shape (K,).
        beta: β in [0, 1). The paper tries 0.9, 0.99, 0.999 and 0.9999.
            Defaults to 0.999.

    Returns:
        float64, shape (K,).

    Raises:
        ValueError: If a class has no sample, or β is out of its range.

    Example:
    >>> effective_number_weights([1000, 10], beta=0.999).round(4).tolist()
    [0.031, 1.969]

    Reference:
        - [Cui et al., 2019](https://arxiv.org/abs/1901.05555), equation 4
    """
    beta = _checks.check_real("beta", beta, 0, 1, open_high=True)
    found = check_counts(counts)
    if beta == 0:
        return np.ones(len(found))
    # 1 - β^n, of which float64 would lose digits for β close to 1.
    weights = (1 - beta) / -np.expm1(found * np.log(beta))
    return len(found) * weights / weights.sum()


def check_counts(counts):
    """Return the samples of each class in float64: none may have none."""
    array = np.asarray(counts)
    if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
        raise ValueError(
            "`counts` must be integers of shape (K,), the samples of each of "
            f"at least 2 classes. Received: counts={counts!r}"
        )
    if (array < 1).any():
        empty = int(np.argmax(array < 1))
        raise ValueError(
            "`counts` must be at least 1, or a class has no finite weight. "
            f"Received: {array[empty]} samples of class {empty}"
        )
    return array.astype("float64")


def check_numbers(name, values, low_open):
    """Return K finite numbers, not below 0, or above it, as a list."""
    try:
        array = np.asarray(values, "float64")
    except (TypeError, ValueError):
        array = np.empty(())
    fits = array.ndim == 1 and len(array) >= 2 and np.isfinite(array).all()
    if not fits or (array < 0).any() or (low_open and not array.all()):
        what = "above 0" if low_open else "of at least 0"
        raise ValueError(
            f"`{name}` must be numbers {what}, one for each of at least 2 "
            f"classes. Received: {name}={values!r}"
        )
    return array.tolist()


class ClassBalance:
    """What a loss knows of how frequent and how important classes are.

    Args:
        class_weights: w, shape (K,), or None.
        logit_adjustment: τ of at least 0.
        class_priors: π, shape (K,), that sum to 1; None without τ.
    """

    def __init__(
        self,
        class_weights: Numbers | None = None,
        logit_adjustment: float = 0.0,
        class_priors: Numbers | None = None,
    ):
        if class_weights is not None:
            class_weights = check_numbers("class_weights", class_weights, False)
            if not any(class_weights):
                raise ValueError(
                    "`class_weights` must not all be 0. "
                    f"Received: class_weights={class_weights}"
                )
        tau = _checks.check_real("logit_adjustment", logit_adjustment, 0)
        if (class_priors is not None) != (tau > 0):
            raise ValueError(
                "`class_priors` must be given with `logit_adjustment` above 0, "
                "and only with it. Received: "
                f"class_priors={class_priors!r}, logit_adjustment={tau:g}"
            )
        if class_priors is not None:
            class_priors = check_numbers("class_priors", class_priors, True)
            if abs(sum(class_priors) - 1) > 1e-3:
                raise ValueError(
                    "`class_priors` must be the shares of the classes and sum "
                    f"to 1. Received: class_priors={class_priors}"
                )
        self.class_weights = class_weights
        self.logit_adjustment = tau
        self.class_priors = class_priors

    def check(self, classes: int) -> None:
        """Refuse another number of classes than that of the logits."""
        for name in ("class_weights", "class_priors"):
            values = getattr(self, name)
            if values is not None and len(values) != classes:
                raise ValueError(
                    f"`{name}` must be as many as the model has outputs, "
                    f"{classes}. Received: {len(values)} in {name}={values}"
                )

    def adjust(self, logits: Tensor) -> Tensor:
        """Return `z + τ log π`, in float32."""
        if self.class_priors is None:
            return logits
        shift = self.logit_adjustment * np.log(self.class_priors)
        logits = ops.cast(logits, "float32")
        return logits + ops.convert_to_tensor(shift, "float32")

    def weigh(self, loss: Tensor, labels: Tensor, dense: bool) -> Tensor:
        """Return `w(p)` times a loss: the mix of the weights of its classes.

        Args:
            loss: Shape (...).
            labels: Indices of classes (...), or weights p of them (..., K).
            dense: Which of the two.
        """
        if self.class_weights is None:
            return loss
        weights = ops.convert_to_tensor(self.class_weights, "float32")
        if dense:
            labels = ops.cast(labels, "float32")
            return loss * ops.sum(labels * weights, axis=-1)
        return loss * ops.take(weights, labels, axis=0)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {
            "class_weights": self.class_weights,
            "logit_adjustment": self.logit_adjustment,
            "class_priors": self.class_priors,
        }
