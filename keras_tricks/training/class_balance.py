"""What a recipe makes of the counts of the training labels."""

from typing import Any

import numpy as np

from keras_tricks.losses import balanced_weights, effective_number_weights
from keras_tricks.recipe import Recipe


def class_balance(
    recipe: Recipe, class_counts: np.ndarray | None = None
) -> dict[str, Any]:
    """Return the arguments of a recipe's loss that are about the classes.

    Args:
        recipe: The recipe.
        class_counts: Training images of each class, or `None` if unknown.

    Returns:
        `class_weights`, `logit_adjustment` and `class_priors`, those that
        are not the defaults.

    Raises:
        ValueError: If the counts are needed and unknown, or one is 0.

    Example:
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe(class_weights="balanced")
    >>> class_balance(recipe, np.array([30, 10]))["class_weights"].tolist()
    [0.6666666666666666, 2.0]
    """
    if recipe.counts_classes and class_counts is None:
        name = "logit_adjustment" if recipe.logit_adjustment else None
        name = name or "class_weights"
        raise ValueError(
            f"`{name}` must not need the counts of the training labels where "
            "`class_counts` are unknown, as those of shards without an index. "
            f"Received: {name}={getattr(recipe, name)!r}"
        )
    balance: dict[str, Any] = {}
    if recipe.class_weights == "balanced":
        balance["class_weights"] = balanced_weights(class_counts)
    elif recipe.class_weights == "effective_number":
        balance["class_weights"] = effective_number_weights(
            class_counts, recipe.effective_number_beta
        )
    elif recipe.class_weights is not None:
        balance["class_weights"] = np.array(recipe.class_weights)
    if recipe.logit_adjustment:
        counts = np.asarray(class_counts)
        balance["logit_adjustment"] = recipe.logit_adjustment
        balance["class_priors"] = counts / counts.sum()
    return balance
