"""What of a network trains and what does not, in words."""

import itertools
import math

from keras_tricks.recipe.plan import head_factor
from keras_tricks.surgery import find_groups
from keras_tricks.surgery.rate_scales import depth_factors


def explain_fine_tuning(recipe, model):
    """Yield names and texts of rows, none for a recipe without fine-tuning."""
    if recipe.freeze is not None:
        yield from _frozen(recipe, model)
    if recipe.rates_differ:
        yield from _rates(recipe, model)


def _rates(recipe, model):
    """Yield a table of the groups with their learning rates."""
    groups = find_groups(model)
    factors = depth_factors(
        len(groups), recipe.layer_decay, head_factor(recipe)
    )
    width = max(len(group.name) for group in groups)
    text = f"layer_decay {recipe.layer_decay:g}"
    if recipe.head_learning_rate is not None:
        text += f", head_learning_rate {recipe.head_learning_rate:g}"
    yield "rates", text
    yield "", f"{'group':<{width}}  {'factor':>10}  {'peak rate':>10}"
    for group, factor in zip(groups, factors, strict=True):
        rate = f"{factor * recipe.learning_rate:.4g}"
        if not _trained(group):
            rate = (
                "frozen" if recipe.unfreeze_epoch is None else f"{rate} later"
            )
        yield "", f"{group.name:<{width}}  {factor:>10.4g}  {rate:>10}"


def _frozen(recipe, model):
    """Yield what does not train."""
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
