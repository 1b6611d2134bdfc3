"""What of a network trains and what does not, in words."""

import itertools
import math

from keras_tricks.surgery import find_groups


def explain_fine_tuning(recipe, model):
    """Yield names and texts of rows, none for a recipe without fine-tuning."""
    if recipe.freeze is None:
        return
    until = "in all epochs"
    if recipe.unfreeze_epoch is not None:
        until = f"until epoch {recipe.unfreeze_epoch}, then all trains"
    yield "frozen", f"{recipe.freeze}, {until}"
    for some in _alike(find_groups(model)):
        name = some[0].name
        if len(some) > 1:
            name += f" to {some[-1].name}, {len(some)} groups"
        trained = sum(_trained(group) for group in some)
        size = sum(group.size for group in some)
        yield "", f"{name}: {trained:,} of {size:,} values train"


def _alike(groups):
    """Return neighbors of which all are frozen, or none, together."""
    return [
        list(some)
        for _, some in itertools.groupby(groups, lambda g: _trained(g) > 0)
    ]


def _trained(group):
    return sum(
        math.prod(weight.shape)
        for layer in group.layers
        for weight in layer.trainable_weights
    )
