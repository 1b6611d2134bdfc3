from typing import Any

import keras
from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor
from keras_tricks.optimizers import _roles


def clip_adaptively(
    gradient: Tensor,
    variable: Tensor,
    clipping: float = 0.01,
    epsilon: float = 1e-3,
    depthwise: bool = False,
) -> Tensor:
    """Clip a gradient where it is large beside the weights it belongs to.

    Formula, for each unit i with weights W and gradient G, where a unit is
    what makes one output channel (`W[..., i]`), or all of a vector:

        limit_i = clipping * max(‖W_i‖, epsilon)
        G_i = G_i * limit_i / ‖G_i‖    where ‖G_i‖ > limit_i

    Args:
        gradient: Float tensor of any shape.
        variable: The weights, of the same shape.
        clipping: The largest share of the norm of the weights, above 0.
            Defaults to 0.01.
        epsilon: Least norm of the weights, so that what starts at 0 moves.
            Defaults to 1e-3.
        depthwise: Whether it is a depthwise kernel, `(h, w, channels,
            multiplier)`, whose last two axes are both outputs.

    Returns:
        The clipped gradient, of the same shape and dtype.

    Example:
    >>> clipped = clip_adaptively(ops.ones((4, 1)), ops.ones((4, 1)), 0.5)
    >>> ops.convert_to_numpy(clipped).ravel().tolist()
    [0.5, 0.5, 0.5, 0.5]

    Reference:
        - [Brock et al., 2021](https://arxiv.org/abs/2102.06171), section 4.1
    """
    rank = len(gradient.shape)
    axes = tuple(range(rank - (2 if depthwise else 1))) if rank > 1 else None

    def norm(x):
        squares = ops.sum(ops.square(x), axis=axes, keepdims=rank > 1)
        return ops.sqrt(squares)

    gradient = ops.convert_to_tensor(gradient)
    weights = ops.cast(variable, gradient.dtype)
    limit = ops.maximum(norm(weights), epsilon) * clipping
    size = norm(gradient)
    factor = limit / ops.maximum(size, 1e-6)
    return gradient * ops.where(size > limit, factor, ops.ones_like(factor))


@keras.saving.register_keras_serializable("keras_tricks")
class AdaptiveGradientClipping:
    """Clips gradients by the norm of the weights, unit by unit.

    See `clip_adaptively` for the formula. It is an argument of every
    optimizer of `keras_tricks.optimizers`, which calls it with the unscaled
    gradients of a whole update, before weight decay and momentum.

    Networks without batch norm need it for large batches and rates. The
    paper does not clip the last layer.

    Args:
        clipping: The largest share of the norm of the weights, above 0.
            Defaults to 0.01.
        epsilon: Least norm of the weights, above 0. Defaults to 1e-3.
        exclude: What is not clipped: `"last"` (default) for the layer of the
            last kernel, a regular expression searched in `variable.path`, or
            None to clip all.

    Call arguments:
        gradients: List of gradients.
        variables: List of `keras.Variable`s, one for each.
        excluded: List of bools, one for each.

    Returns:
        The list of clipped gradients.

    Raises:
        ValueError: If an argument is outside its range; when the optimizer
            is built, if the pattern `exclude` matches no variable.

    Example:
    >>> from keras_tricks.optimizers import SGD
    >>> clip = AdaptiveGradientClipping(0.02)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(SGD(0.1, adaptive_clipping=clip), loss="mse")

    Reference:
        - [Brock et al., 2021](https://arxiv.org/abs/2102.06171), section 4.1
    """

    def __init__(
        self,
        clipping: float = 0.01,
        epsilon: float = 1e-3,
        exclude: str | None = "last",
    ):
        self.clipping = _checks.check_real("clipping", clipping, 0, None, True)
        self.epsilon = _checks.check_real("epsilon", epsilon, 0, None, True)
        if exclude is not None:
            _roles.check_pattern("exclude", exclude, '"last", None')
        self.exclude = exclude

    def __call__(
        self, gradients: list, variables: list, excluded: list[bool]
    ) -> list:
        return [
            gradient
            if without
            else clip_adaptively(
                gradient,
                variable,
                self.clipping,
                self.epsilon,
                depthwise=_roles.is_depthwise(variable),
            )
            for gradient, variable, without in zip(
                gradients, variables, excluded, strict=True
            )
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            "clipping": self.clipping,
            "epsilon": self.epsilon,
            "exclude": self.exclude,
        }

    @classmethod
    def from_config(cls, config: dict) -> "AdaptiveGradientClipping":
        """Return what `get_config` describes."""
        return cls(**config)
