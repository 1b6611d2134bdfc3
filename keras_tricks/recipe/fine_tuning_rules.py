"""What a recipe refuses of the fields that fine-tuning has."""

from keras_tricks import _checks
from keras_tricks.networks.names import brings_weights, split_name


def fine_tuning_rules(recipe):
    """Yield whether a rule is broken, the field, and what it must be."""
    freeze, epoch = recipe.freeze, recipe.unfreeze_epoch
    parts = freeze.split(",") if freeze else []
    yield freeze == "", "freeze", "backbone, norms, groups, a pattern or None"
    has_weights = recipe.weights is not None or brings_weights(recipe.model)
    # A function of the user may load weights itself.
    has_weights = has_weights or split_name(recipe.model)[0] == "function"
    # With weights the network is asked, which knows the names of its groups.
    known = "backbone", "norms", "stem", "head"
    unknown = (_checks.near(part, known) for part in {*parts} - {*known})
    hint = max(unknown, default="")
    yield (
        hint != "" and not has_weights,
        "freeze",
        "backbone, norms, names of groups, or a regular expression on the "
        f"paths of weights{hint}",
    )
    yield (
        freeze is not None and not has_weights,
        "freeze",
        "None without weights to start from",
    )
    yield (
        recipe.frozen_norm and "norms" in parts,
        "freeze",
        "without norms with frozen_norm=True, which freezes them for good",
    )
    yield (
        recipe.skip_head and "head" in parts,
        "freeze",
        "without head with skip_head=True, which starts it anew",
    )
    yield (
        epoch is not None and freeze is None,
        "unfreeze_epoch",
        "None without freeze",
    )
    yield (
        epoch is not None and epoch >= recipe.epochs,
        "unfreeze_epoch",
        f"below epochs={recipe.epochs}, or None for never",
    )
    yield from _rate_rules(recipe, has_weights)
    reason = why_not_cached(recipe)
    yield (
        recipe.cache_features == "on" and reason is not None,
        "cache_features",
        f"'auto' or 'off' with {reason}",
    )


def _rate_rules(recipe, has_weights):
    """Yield the rules of learning rates that differ within the network."""
    head = recipe.head_learning_rate
    for_good = recipe.freeze if recipe.unfreeze_epoch is None else None
    yield recipe.layer_decay == 0, "layer_decay", "above 0, 1 for one rate"
    yield (
        recipe.layer_decay != 1 and not has_weights,
        "layer_decay",
        "1 without weights to start from, which it keeps near",
    )
    yield (
        recipe.layer_decay != 1 and for_good == "backbone",
        "layer_decay",
        "1 with freeze='backbone', where the head trains alone",
    )
    yield head == 0, "head_learning_rate", "above 0; freeze='head' freezes it"
    if head is None:
        return
    yield (
        for_good == "backbone",
        "head_learning_rate",
        "None with freeze='backbone', where base_learning_rate is the head's",
    )
    yield (
        for_good is not None and "head" in for_good.split(","),
        "head_learning_rate",
        f"None with freeze={for_good!r}, which freezes the head",
    )
    yield (
        recipe.base_learning_rate == 0,
        "base_learning_rate",
        "above 0 with head_learning_rate, which is a multiple of it",
    )
    yield (
        recipe.optimizer != "sgd" and head >= 0.1,
        "head_learning_rate",
        f"below 0.1, a rate of SGD, with optimizer={recipe.optimizer!r}",
    )


def why_not_cached(recipe) -> str | None:
    """Return why features cannot be the same in each epoch, or None."""
    reasons = {
        f"freeze={recipe.freeze!r}, not 'backbone'": recipe.freeze
        != "backbone",
        "unfreeze_epoch, after which all trains": recipe.unfreeze_epoch,
        f"augmentation={recipe.augmentation!r}, which changes images": (
            recipe.augmentation != "none"
        ),
        "mixup or CutMix, which change images": (
            recipe.mixup_alpha or recipe.cutmix_alpha
        ),
        "images that are read while training runs": recipe.streams,
        "a teacher, which sees images": recipe.teacher is not None,
        "drop_path, which is in front of the head": recipe.drop_path,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
