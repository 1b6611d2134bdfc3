"""What a recipe refuses: fields out of range, values that clash."""

import dataclasses
import math
from typing import get_args

from keras_tricks import _checks
from keras_tricks._image_size import check_size, is_size
from keras_tricks.recipe.fine_tuning_rules import fine_tuning_rules
from keras_tricks.recipe.loss_rules import loss_rules
from keras_tricks.recipe.model_rules import model_rules
from keras_tricks.recipe.optimizer_fields import OWN_FIELDS

REPLACED = {
    "scale_learning_rate": "learning_rate_scaling='linear' stands for "
    "scale_learning_rate=True, 'none' for False"
}
"""Fields that there were, and what to write in their place."""


def check_names(recipe_class, values):
    """Return values by field, if all the fields exist."""
    known = {field.name for field in dataclasses.fields(recipe_class)}
    unknown = sorted(set(values) - known)
    for name in REPLACED.keys() & set(unknown):
        raise ValueError(
            f"A field must be one of `keras_tricks.Recipe`: {REPLACED[name]}. "
            f"Received: {name}"
        )
    if unknown:
        raise ValueError(
            "A field must be one of `keras_tricks.Recipe`"
            f"{_checks.near(unknown[0], known)}. "
            f"Received: {', '.join(unknown)}"
        )
    return values


def check_field(field, value):
    """Return the value in its type, if it is of the kind and in range."""
    limits = field.metadata
    kinds = get_args(field.type) or (field.type,)
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if is_size(kinds):
        return check_size(field.name, value, limits["low"], limits["high"])
    if limits["choices"] is not None:
        if get_args(kind):
            return _check_numbers(field.name, value, limits["choices"])
        return _checks.check_choice(field.name, value, limits["choices"])
    if kind is int:
        low = 0 if limits["low"] is None else limits["low"]
        return _checks.check_int(field.name, value, low, limits["high"])
    if kind is float:
        high, below = limits["high"], limits["below"]
        return _checks.check_real(
            field.name,
            value,
            limits["low"],
            high if below is None else below,
            open_high=below is not None,
        )
    if kind in (bool, str):
        if not isinstance(value, kind):
            what = "True or False" if kind is bool else "a string"
            raise ValueError(
                f"`{field.name}` must be {what}. "
                f"Received: {field.name}={value!r}"
            )
        return value
    return _check_increasing(field.name, value, limits["high"])


def _check_numbers(name, value, names):
    """Return one of some names as it is, and numbers as a tuple."""
    if isinstance(value, str) and value in names:
        return value
    if not isinstance(value, (list, tuple)):
        raise ValueError(
            f"`{name}` must be {', '.join(map(repr, names))} or a tuple of "
            f"numbers. Received: {name}={value!r}"
        )
    return tuple(_checks.check_real(name, one, 0) for one in value)


def _check_increasing(name, value, high):
    if not isinstance(value, (list, tuple)):
        raise ValueError(
            f"`{name}` must be a tuple of integers. Received: {name}={value!r}"
        )
    numbers = tuple(_checks.check_int(name, one, 1, high) for one in value)
    if list(numbers) != sorted(set(numbers)):
        raise ValueError(
            f"`{name}` must be strictly increasing. Received: {name}={value!r}"
        )
    return numbers


def check_combinations(recipe):
    """Refuse values that are right alone and wrong together."""
    rules = [
        *_input_rules(recipe),
        *model_rules(recipe),
        *fine_tuning_rules(recipe),
        *_optimizer_rules(recipe),
        *_schedule_rules(recipe),
        *_mixup_rules(recipe),
        *_teacher_rules(recipe),
        *loss_rules(recipe),
    ]
    for broken, name, expectation in rules:
        if broken:
            value = getattr(recipe, name)
            # Most users have not written all fields.
            default = value == getattr(type(recipe), name, None)
            raise ValueError(
                f"`{name}` must be {expectation}. Received: {name}={value!r}"
                f"{', the default' if default else ''}"
            )


OF_CROPS = (
    "min_crop_area",
    "color_jitter",
    "jitter_convention",
    "lighting",
    "policy",
    "magnitude",
    "severity",
    "erasing",
    "progressive_sizes",
)
OF_STREAMS = (
    "image_key",
    "label_key",
    "label_offset",
    "repeated_augmentation",
    "test_image_size",
    "crop_ratio",
    "resize",
    "workers",
)


def _input_rules(recipe):
    crop = recipe.augmentation == "crop"
    defaults = {
        field.name: field.default for field in dataclasses.fields(recipe)
    }
    engines = "input_engine='tf.data' or 'grain'"
    for names, used, condition, cure in (
        (
            OF_CROPS,
            crop,
            f"augmentation={recipe.augmentation!r}",
            "augmentation='crop' does",
        ),
        (
            OF_STREAMS,
            recipe.streams,
            "images in memory",
            f"augmentation='crop' does, or {engines}",
        ),
    ):
        for name in names:
            changed = getattr(recipe, name) != defaults[name]
            yield (
                changed and not used,
                name,
                f"{defaults[name]!r} with {condition}, which does not use it "
                f"({cure})",
            )
    yield (
        recipe.split_seed and not recipe.validation_share,
        "split_seed",
        "0 with validation_share=0, which holds nothing out",
    )
    engine = recipe.input_engine
    yield (
        crop and engine == "memory",
        "input_engine",
        "'auto', 'tf.data' or 'grain' with augmentation='crop'",
    )
    yield (
        engine in ("tf.data", "grain")
        and recipe.augmentation in ("shift", "shift_flip"),
        "augmentation",
        f"'crop' or 'none' with input_engine={engine!r}",
    )
    yield not recipe.min_crop_area, "min_crop_area", "above 0"
    yield not recipe.crop_ratio > 0, "crop_ratio", "above 0"
    yield (
        recipe.resize == "letterbox"
        and recipe.crop_ratio != defaults["crop_ratio"],
        "crop_ratio",
        f"{defaults['crop_ratio']:g} with resize='letterbox', which crops "
        "nothing",
    )
    sizes = recipe.progressive_sizes
    yield (
        sizes is not None and not isinstance(recipe.image_size, int | None),
        "progressive_sizes",
        f"None with image_size={recipe.image_size}, since it has the sides of "
        "squares",
    )
    yield (
        sizes is not None
        and (sizes[-1] != recipe.image_size or len(sizes) > recipe.epochs),
        "progressive_sizes",
        f"at most epochs={recipe.epochs} sizes, the last of them "
        f"image_size={recipe.image_size}",
    )
    for name, policy in (
        ("magnitude", "rand_augment"),
        ("severity", "aug_mix"),
    ):
        yield (
            getattr(recipe, name) != defaults[name] and recipe.policy != policy,
            name,
            f"{defaults[name]:g} without policy={policy!r}",
        )
    on_device = recipe.finish_on == "device"
    yield (
        on_device and not recipe.streams,
        "finish_on",
        "'auto' or 'host' with images in memory",
    )
    yield (
        on_device and recipe.cutmix_alpha,
        "finish_on",
        "'auto' or 'host' with CutMix, which is done on the host",
    )
    yield (
        on_device and recipe.teacher is not None,
        "finish_on",
        "'auto' or 'host' with a teacher, which sees finished images",
    )


_USUAL_RATES = {
    "adamw": 1e-3,
    "lamb": 2e-3,
    "muon": 1e-3,
    "lion": 1e-4,
    "schedule_free_adamw": 2.5e-3,
}


def _optimizer_rules(recipe):
    defaults = {
        field.name: field.default for field in dataclasses.fields(recipe)
    }
    optimizer = recipe.optimizer
    # Not a set: the first of several mistakes is told, always the same.
    owned = (name for own in OWN_FIELDS.values() for name in own)
    for name in dict.fromkeys(owned):
        changed = getattr(recipe, name) != defaults[name]
        yield (
            changed and name not in OWN_FIELDS[optimizer],
            name,
            f"{defaults[name]!r} with optimizer={optimizer!r}, which does not "
            "use it",
        )
    rate = defaults["base_learning_rate"]
    yield (
        optimizer != "sgd" and recipe.base_learning_rate >= rate,
        "base_learning_rate",
        f"below {rate:g}, a rate of SGD, with optimizer={optimizer!r}, say "
        f"{_USUAL_RATES.get(optimizer, 0):g}",
    )
    yield (
        optimizer == "schedule_free_adamw" and recipe.schedule != "constant",
        "schedule",
        "'constant' with optimizer='schedule_free_adamw', whose average "
        "stands for a schedule",
    )
    yield (
        optimizer == "schedule_free_adamw" and recipe.ema_decay,
        "ema_decay",
        "0 with optimizer='schedule_free_adamw', which has an average of its "
        "own",
    )
    yield (
        optimizer in ("lion", "schedule_free_adamw") and recipe.beta_1 == 0,
        "beta_1",
        f"above 0 with optimizer={optimizer!r}",
    )
    yield (
        recipe.sam_rho and recipe.unfreeze_epoch is not None,
        "sam_rho",
        "0 with unfreeze_epoch, at which the step is compiled again",
    )
    for name in ("clipnorm", "global_clipnorm"):
        yield getattr(recipe, name) == 0, name, "above 0, or None for none"
    clips = ("clipnorm", "global_clipnorm", "agc_clipping")
    used = [name for name in clips if getattr(recipe, name)]
    for name in used[1:]:
        yield True, name, f"{defaults[name]!r} with {used[0]}, which clips too"
    steps = recipe.gradient_accumulation_steps
    yield (
        recipe.batch_size % steps,
        "batch_size",
        f"a multiple of gradient_accumulation_steps={steps}",
    )
    yield (
        recipe.nesterov and recipe.momentum == 0,
        "nesterov",
        "False with momentum=0",
    )


def _schedule_rules(recipe):
    epochs, steps = recipe.epochs, recipe.step_epochs
    is_step = recipe.schedule == "step"
    boundaries = recipe.boundaries if is_step else ()
    first = min(boundaries, default=math.inf)
    yield (
        recipe.warmup_epochs > epochs,
        "warmup_epochs",
        f"at most epochs={epochs}, 0 for none",
    )
    yield (
        steps is not None and not is_step,
        "step_epochs",
        f"None with schedule={recipe.schedule!r}, which has no steps",
    )
    yield (
        bool(steps) and steps[-1] >= epochs,
        "step_epochs",
        f"below epochs={epochs}",
    )
    yield (
        first <= recipe.warmup_epochs,
        "warmup_epochs",
        f"below the first step of the schedule, at epoch {first}",
    )


def _mixup_rules(recipe):
    epochs, off = recipe.epochs, recipe.mixup_off_epochs
    mixes = recipe.mixup_alpha or recipe.cutmix_alpha
    yield off > epochs, "mixup_off_epochs", f"at most epochs={epochs}"
    yield (
        off and not mixes,
        "mixup_off_epochs",
        "0 with mixup_alpha=0 and cutmix_alpha=0, which never mix",
    )
    yield (
        mixes and off == epochs,
        "mixup_off_epochs",
        f"below epochs={epochs}; mixup_alpha=0 turns mixup off",
    )


def _teacher_rules(recipe):
    yield recipe.temperature == 0, "temperature", "above 0"
    for name in ("teacher_weights", "hard_weight"):
        yield (
            recipe.teacher is None and getattr(recipe, name) is not None,
            name,
            "None without a teacher",
        )
    yield recipe.teacher == "", "teacher", "a path, a name or None"
