"""What a variable is to its layer, read from its name, path and shape."""

import math
import re

import keras

# How layers name what is no kernel, whatever its rank: a bias of attention, a
# slope of PReLU and a norm over several axes have rank 2 and above.
_NO_KERNEL = re.compile(r"(^|_)(bias|gamma|beta|scale|alpha)$")
_EMBEDDING = re.compile(r"(^|_)embeddings?$")


def decays(variable: keras.Variable, rule: str) -> bool:
    """Return whether a decay rule covers a variable.

    Args:
        variable: A `keras.Variable`.
        rule: `"kernels"` for what layers do not call bias, gamma, beta, scale,
            alpha or embeddings, of rank 2 and above;
            `"kernels_and_embeddings"`; `"all"`; or a regular expression
            searched in `variable.path`.

    Returns:
        True if weight decay applies to the variable.

    Example:
    >>> kernel = keras.Variable([[1.0]], name="kernel")
    >>> bias = keras.Variable([1.0], name="bias")
    >>> decays(kernel, "kernels"), decays(bias, "kernels")
    (True, False)
    >>> decays(bias, "all"), decays(bias, "kernel$")
    (True, False)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1, "no
          bias decay"
    """
    if rule in ("kernels", "kernels_and_embeddings"):
        if _NO_KERNEL.search(variable.name):
            return False
        if rule == "kernels" and _EMBEDDING.search(variable.name):
            return False
        return len(variable.shape) >= 2
    return rule == "all" or re.search(rule, variable.path) is not None


def in_head(variables: list, rule: str | None) -> list[bool]:
    """Tell which variables are those of a model's head.

    Args:
        variables: Trainable variables of a model, in its order.
        rule: `"last"` for the layer of the last kernel, a regular expression
            searched in `variable.path`, or None for no variable.

    Returns:
        A bool for each variable.

    Example:
    >>> model = keras.Sequential([
    ...     keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)
    ... ])
    >>> in_head(model.trainable_variables, "last")
    [False, False, True, True]
    """
    if rule is None:
        return [False] * len(variables)
    if rule != "last":
        return [re.search(rule, v.path) is not None for v in variables]
    kernels = [v for v in variables if decays(v, "kernels")]
    if not kernels:
        return [False] * len(variables)
    last = _layer_of(kernels[-1])
    return [_layer_of(v) == last for v in variables]


def _layer_of(variable):
    return variable.path.rpartition("/")[0] or variable.path


def check_pattern(name, value, words):
    """Refuse what is neither one of the words nor a regular expression."""
    try:
        re.compile(value)
    except (TypeError, re.error) as error:
        raise ValueError(
            f"`{name}` must be {words} or a regular expression. "
            f"Received: {name}={value!r}"
        ) from error


def check_matches(name, rule, variables):
    """Refuse a rule of `in_head` with a pattern that no path has."""
    if rule in (None, "last") or any(in_head(variables, rule)):
        return
    raise ValueError(
        f"`{name}` must match at least one of the {len(variables)} trainable "
        f"variables, such as {variables[-1].path!r}. "
        f"Received: {name}={rule!r}"
    )


def is_depthwise(variable: keras.Variable) -> bool:
    """Tell whether a variable is the kernel of a depthwise convolution.

    Keras has no other sign of it than the name of the layer or kernel.
    """
    return len(variable.shape) == 4 and "depthwise" in variable.path


def as_matrix(shape):
    """Return rows and columns of a kernel as the matrix that it applies.

    Example:
    >>> as_matrix((3, 3, 16, 32))
    (144, 32)
    """
    return math.prod(shape[:-1]), shape[-1]
