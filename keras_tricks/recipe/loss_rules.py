"""What a recipe refuses of its loss and of unequal classes."""

import dataclasses


def loss_rules(recipe):
    """Yield whether a rule is broken, the field, and what it must be."""
    yield from _multi_label_rules(recipe)
    yield from _binary_rules(recipe)
    yield from _class_rules(recipe)


def _binary_rules(recipe):
    binary = recipe.loss == "binary_crossentropy"
    defaults = {f.name: f.default for f in dataclasses.fields(recipe)}
    for name in ("target_threshold", "class_reduction"):
        yield (
            getattr(recipe, name) != defaults[name] and not binary,
            name,
            f"{defaults[name]!r} without loss='binary_crossentropy'",
        )
    yield (
        recipe.smoothing_convention == "binary" and not binary,
        "smoothing_convention",
        "'paper' or 'uniform' without loss='binary_crossentropy'",
    )
    sigmoid = recipe.distillation == "sigmoid"
    yield (
        binary and recipe.teacher is not None and not sigmoid,
        "distillation",
        "'sigmoid' with a teacher and loss='binary_crossentropy'; of a "
        "teacher with a softmax the loss is 'crossentropy'",
    )
    yield (
        sigmoid and not (binary and recipe.teacher is not None),
        "distillation",
        "'softmax' without a teacher and loss='binary_crossentropy'",
    )
    yield (
        sigmoid and recipe.class_weights is not None,
        "class_weights",
        "None with distillation='sigmoid', each of whose classes counts by "
        "itself",
    )
    yield (
        binary and recipe.logit_adjustment > 0,
        "logit_adjustment",
        "0 with loss='binary_crossentropy': it shifts the logits of a softmax",
    )


def _multi_label_rules(recipe):
    for broken, name, expectation in (
        (
            recipe.loss != "binary_crossentropy",
            "loss",
            "'binary_crossentropy' with multi_label=True: the shares of a "
            "softmax sum to 1, as of a single class",
        ),
        (
            recipe.class_weights is not None,
            "class_weights",
            "None with multi_label=True: they are of an image's one class",
        ),
        (
            recipe.sampler != "none",
            "sampler",
            "'none' with multi_label=True: no order makes several classes of "
            "an image equally frequent",
        ),
        (
            recipe.ignore_label is not None,
            "ignore_label",
            "None with multi_label=True, whose labels are 0 and 1",
        ),
    ):
        yield recipe.multi_label and broken, name, expectation


def _class_rules(recipe):
    weights = recipe.class_weights
    numbers = weights if isinstance(weights, tuple) else None
    yield (
        numbers is not None and (len(numbers) < 2 or not any(numbers)),
        "class_weights",
        "a number for each class, not all of them 0",
    )
    yield (
        recipe.effective_number_beta != 0.999 and weights != "effective_number",
        "effective_number_beta",
        "0.999 without class_weights='effective_number'",
    )
    yield (
        recipe.logit_adjustment > 0 and isinstance(weights, str),
        "logit_adjustment",
        f"0 with class_weights={weights!r}: either makes up for the counts of "
        "the classes",
    )
    sampled = recipe.sampler != "none"
    for broken, name in (
        (isinstance(weights, str), "class_weights"),
        (recipe.logit_adjustment > 0, "logit_adjustment"),
    ):
        yield (
            sampled and broken,
            "sampler",
            f"'none' with {name}={getattr(recipe, name)!r}: either makes up "
            "for the counts of the classes",
        )
    yield (
        sampled and recipe.repeated_augmentation > 1,
        "sampler",
        f"'none' with repeated_augmentation={recipe.repeated_augmentation}",
    )
    yield (
        recipe.ignore_label is not None and recipe.data_dir is None,
        "ignore_label",
        "None without data_dir, an .npz whose labels may be no classes",
    )
