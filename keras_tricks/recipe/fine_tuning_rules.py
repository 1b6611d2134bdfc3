"""What a recipe refuses of the fields that fine-tuning has."""

from keras_tricks.networks.names import brings_weights, split_name


def fine_tuning_rules(recipe):
    """Yield whether a rule is broken, the field, and what it must be."""
    freeze, epoch = recipe.freeze, recipe.unfreeze_epoch
    parts = freeze.split(",") if freeze else []
    yield freeze == "", "freeze", "backbone, norms, groups, a pattern or None"
    has_weights = recipe.weights is not None or brings_weights(recipe.model)
    # A function of the user may load weights itself.
    has_weights = has_weights or split_name(recipe.model)[0] == "function"
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
    reason = why_not_cached(recipe)
    yield (
        recipe.cache_features == "on" and reason is not None,
        "cache_features",
        f"'auto' or 'off' with {reason}",
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
