"""Learning rates that fall from the head of a network to its stem."""

import collections

import keras

from keras_tricks import _checks
from keras_tricks.surgery.groups import find_groups


def depth_factors(
    count: int, layer_decay: float = 1.0, head_factor: float = 1.0
) -> list[float]:
    """Return the factor of the learning rate of each group of a network.

    Formula, for group i of n, stem first and head last:

        factor_i = layer_decay ** (n - 1 - i)

    and `head_factor` for the head.

    Args:
        count: n, the number of groups.
        layer_decay: In (0, 1]; 1 for no decay.
        head_factor: Above 0.

    Example:
    >>> depth_factors(4, layer_decay=0.5, head_factor=3.0)
    [0.125, 0.25, 0.5, 3.0]
    """
    backbone = [layer_decay ** (count - 1 - i) for i in range(count - 1)]
    return [*backbone, head_factor]


def layer_rate_scales(
    model: keras.Model, layer_decay: float = 1.0, head_factor: float = 1.0
) -> dict[str, float]:
    """Return factors of learning rates that fall from the head to the stem.

    Formula, for the weights of group i of n, stem first and head last, of
    `find_groups`: `layer_decay ** (n - 1 - i)`, and `head_factor` for the
    head. With `layer_decay` it is timm's, whose groups of a ResNet are the
    same. It goes into `rate_scales` of any of `keras_tricks.optimizers`.

    Args:
        model: A functional or `Sequential` model; models inside are entered.
        layer_decay: In (0, 1]. Defaults to 1, for no decay.
        head_factor: Of the head, above 0. Defaults to 1.

    Returns:
        A dict to factors from paths of the variables that train, each cut to
        the end that no other has.

    Raises:
        ValueError: If an argument is outside its range, the model has no graph
            or no kernel, or variables of one path would have two factors.

    Example:
    >>> from keras_tricks.models import ResNet
    >>> from keras_tricks.optimizers import AdamW
    >>> model = ResNet(18, num_classes=3, width=4, input_shape=(32, 32, 3))
    >>> scales = layer_rate_scales(model, layer_decay=0.5)
    >>> len({*scales.values()}), min(scales.values()) == 0.5**9
    (10, True)
    >>> model.compile(AdamW(1e-3, rate_scales=scales), loss="mse")

    Reference:
        - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146), section
          3.2, "discriminative fine-tuning"
    """
    _checks.check_real("layer_decay", layer_decay, 0, 1, open_low=True)
    _checks.check_real("head_factor", head_factor, 0, open_low=True)
    groups = find_groups(model)
    factors = depth_factors(len(groups), layer_decay, head_factor)
    ends = _shortest_ends([weight.path for weight in model.weights])
    trained = {id(variable) for variable in model.trainable_variables}
    scales: dict[str, float] = {}
    for group, factor in zip(groups, factors, strict=True):
        for weight in group.weights:
            if id(weight) not in trained:
                continue
            if scales.setdefault(ends[weight.path], factor) != factor:
                raise ValueError(
                    "`model` must have variables with different paths. "
                    f"Received: {weight.path!r} in group {group.name!r} and "
                    "in one before"
                )
    return scales


def _shortest_ends(paths):
    """Return for each path its shortest end that no other path has.

    A model that is loaded may have lost the beginnings, as those of
    `Sequential` models.
    """
    ends = {path: list(_ends(path)) for path in paths}
    counts = collections.Counter(end for some in ends.values() for end in some)
    return {
        path: next((end for end in some if counts[end] == 1), path)
        for path, some in ends.items()
    }


def _ends(path):
    """Yield ends of a path, from two words to all."""
    words = path.split("/")
    for count in range(min(2, len(words)), len(words) + 1):
        yield "/".join(words[-count:])
