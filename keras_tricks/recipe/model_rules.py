"""What a recipe refuses of its network."""

import dataclasses

from keras_tricks.networks.names import (
    OF_OURS,
    OURS,
    brings_weights,
    split_name,
)


def has_branches(recipe):
    """Return whether the network of a recipe may have residual branches.

    Those of others are asked when they are built.
    """
    return recipe.model not in ("inception_v3", "mobilenet")


def model_rules(recipe):
    """Yield whether a rule is broken, of which field, and the rule."""
    kind = split_name(recipe.model)[0]
    yield recipe.width % 2, "width", "even"
    yield (
        recipe.drop_path and not has_branches(recipe),
        "drop_path",
        f"0 with model={recipe.model!r}, which has no residual branches",
    )
    yield (
        recipe.frozen_norm and recipe.zero_gamma and recipe.model == "resnet",
        "zero_gamma",
        "False with frozen_norm=True, where branches would stay silent",
    )
    yield recipe.weights == "", "weights", "a file, a name on the hub or None"
    if kind not in OURS:
        yield from _rules_of_others(recipe, kind)
    has_weights = recipe.weights is not None or brings_weights(recipe.model)
    yield (
        # A function of the user may load weights itself.
        recipe.frozen_norm and not has_weights and kind != "function",
        "frozen_norm",
        "False without weights to start from",
    )
    yield (
        recipe.skip_head and not has_weights,
        "skip_head",
        "False without weights to start from",
    )


def _rules_of_others(recipe, kind):
    for field in dataclasses.fields(recipe):
        if field.name in OF_OURS:
            yield (
                getattr(recipe, field.name) != field.default,
                field.name,
                f"{field.default!r} with model={recipe.model!r}, which does "
                "not use it",
            )
    yield (
        recipe.weights is not None and kind != "applications",
        "weights",
        f"None with model={recipe.model!r}, which brings its own",
    )
