"""What a recipe is going to do, in words."""

import math

import keras
from keras import ops

from keras_tricks._image_size import size_text
from keras_tricks._model_facts.precision import compute_dtypes
from keras_tricks.optimizers.decay_report import make_report
from keras_tricks.recipe.explain_fine_tuning import explain_fine_tuning
from keras_tricks.recipe.model_rules import has_branches
from keras_tricks.recipe.optimizer_fields import OWN_FIELDS
from keras_tricks.recipe.plan import (
    make_optimizer,
    make_plan,
    make_schedule,
)

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 48


def explain(recipe, model, dataset_size: int) -> str:
    """Return what `keras_tricks.Recipe.explain` returns."""
    plan = make_plan(recipe, dataset_size)
    rows = [
        *_steps(recipe, plan, dataset_size),
        *_learning_rate(recipe, plan),
        *_optimizer(recipe),
        *_decay(recipe, model),
        *_model(recipe, model),
        *explain_fine_tuning(recipe, model),
        ("loss", _loss(recipe)),
        *_loss_options(recipe),
        *_distillation(recipe),
        *_input(recipe),
        *_sampler(recipe),
        ("mixing", _mixup(recipe)),
        ("weights", _average(recipe)),
    ]
    return "\n".join(f"{name:<10}{text}" for name, text in rows) + "\n"


def _steps(recipe, plan, dataset_size):
    yield (
        "updates",
        f"{plan.updates_per_epoch} an epoch x {recipe.epochs} epochs = "
        f"{plan.updates}, each of {recipe.batch_size} images",
    )
    if recipe.gradient_accumulation_steps > 1:
        yield (
            "",
            f"in {recipe.gradient_accumulation_steps} batches of "
            f"{plan.batch_size}, whose gradients are averaged",
        )
    rest = dataset_size % recipe.batch_size
    if rest:
        yield (
            "",
            f"{rest} of {dataset_size} images, others in each epoch, are left "
            "out of the last batch",
        )


def _learning_rate(recipe, plan):
    ratio = f"{recipe.batch_size} / 256"
    scaled = {
        "linear": f"{recipe.base_learning_rate:g} x {ratio}",
        "sqrt": f"{recipe.base_learning_rate:g} x sqrt({ratio})",
        "none": "not scaled with the batch",
    }[recipe.scaling]
    yield "rate", f"peak {recipe.learning_rate:g} ({scaled})"
    if plan.warmup_updates:
        first = recipe.learning_rate / plan.warmup_updates
        yield (
            "",
            f"warmup from {first:g} over {plan.warmup_updates} updates",
        )
    else:
        yield "", "no warmup"
    if recipe.schedule == "step":
        epochs = ", ".join(str(epoch) for epoch in recipe.boundaries)
        yield "", f"divided by 10 at epochs {epochs or '(none)'}"
    elif recipe.schedule == "constant":
        yield "", "then constant"
    elif plan.updates > plan.warmup_updates:
        rest = plan.updates - plan.warmup_updates
        yield "", f"then a cosine to 0 over {rest} updates"
    schedule = make_schedule(recipe, plan)
    columns = min(_COLUMNS, plan.updates)
    places = [round(i * (plan.updates - 1) / columns) for i in range(columns)]
    places.append(plan.updates - 1)
    rates = [float(ops.convert_to_numpy(schedule(step))) for step in places]
    top = max(rates) or 1.0
    bars = [_BARS[round(rate / top * (len(_BARS) - 1))] for rate in rates]
    yield "", f"{''.join(bars)}  first {rates[0]:.3g}, last {rates[-1]:.3g}"


def _optimizer(recipe):
    optimizer = make_optimizer(recipe, 0.0)
    own = {name: getattr(recipe, name) for name in OWN_FIELDS[recipe.optimizer]}
    config = optimizer.get_config()
    values = [
        f"{name} {config.get(name, config.get(f'adam_{name}'))}" for name in own
    ]
    yield "optimizer", f"{recipe.optimizer}: {', '.join(values)}"
    for name, text in (
        ("clipnorm", "gradients of each variable clipped to norm"),
        ("global_clipnorm", "all gradients together clipped to norm"),
        ("sam_rho", "gradients where the loss is the sharpest, at distance"),
        (
            "agc_clipping",
            "gradients of each unit, but of the last layer, "
            "clipped to the norm of the weights x",
        ),
    ):
        if getattr(recipe, name):
            yield "", f"{text} {getattr(recipe, name):g}"


_KINDS_OF_DECAY = {
    "sgd": "coupled",
    "lamb": "inside of the trust ratio",
    "schedule_free_adamw": "of the fast weights, scaled with the rate",
}


def _decay(recipe, model):
    report = make_report(make_optimizer(recipe, 0.0), model)
    listed = [("left to Adam", report.by_adam)]
    if recipe.weight_decay:
        kind = _KINDS_OF_DECAY.get(recipe.optimizer, "decoupled")
        yield "decay", f"{recipe.weight_decay:g}, {kind}, of {recipe.decay!r}"
        for line in report.summary().splitlines():
            yield "", line
        listed = [
            ("decayed", report.decayed),
            ("not decayed", report.excluded),
            *listed,
        ]
    else:
        yield "decay", "none"
    for name, rows in listed:
        if rows:
            paths = ", ".join(path for path, _ in rows[:3])
            yield "", f"{name}: {paths}{', ...' if len(rows) > 3 else ''}"


def _model(recipe, model):
    trained = _count(model.trainable_variables)
    others = _count(model.non_trainable_variables)
    yield (
        "model",
        f"{model.name}: {trained:,} trainable values, {others:,} others",
    )
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.gamma is not None
    ]
    zero = sum(not ops.convert_to_numpy(norm.gamma).any() for norm in norms)
    note = ""
    if recipe.zero_gamma and not has_branches(recipe):
        note = "; no residual branch to start silent"
    yield "", f"gamma is 0 in {zero} of {len(norms)} batch norms{note}"
    for name in ("network_report", "weights_report"):
        report = getattr(model, name, None)
        if report is not None:
            for line in str(report).splitlines():
                yield "", line.strip()
    computes = compute_dtypes(model).most_common(1)[0][0]
    weights = " and ".join(sorted({w.dtype for w in model.trainable_weights}))
    logits = keras.backend.standardize_dtype(model.outputs[0].dtype)
    yield (
        "dtypes",
        f"computes in {computes}, weights in {weights}, gives {logits} logits",
    )
    if computes == "float16":
        yield "", "dynamic loss scaling"


def _count(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def _loss(recipe):
    binary = recipe.loss == "binary_crossentropy"
    text = "cross-entropy"
    if binary:
        text = f"binary cross-entropy, {recipe.class_reduction} of the classes"
    if recipe.label_smoothing:
        text += (
            f" with label smoothing {recipe.label_smoothing:g} "
            f"({recipe.smoothing_convention} convention)"
        )
    return text


def _loss_options(recipe):
    if recipe.multi_label:
        yield "", "yes or no to each class: an image may be of several, or none"
    if recipe.target_threshold is not None:
        text = f"targets above {recipe.target_threshold:g} are 1, others 0"
        if recipe.label_smoothing:
            text += ", so that nothing is left of the smoothing"
        yield "", text
    if recipe.class_weights is not None:
        how = {
            "balanced": "N / (K n) of n of N images",
            "effective_number": "effective numbers, beta "
            f"{recipe.effective_number_beta:g}",
        }.get(recipe.class_weights, "given")
        yield "", f"times the weight of the label: {how}"
    if recipe.logit_adjustment:
        tau = recipe.logit_adjustment
        yield "", f"logits plus {tau:g} x log of the share of their class"


def _distillation(recipe):
    if recipe.teacher is None:
        return
    weights = "1 : 1"
    if recipe.hard_weight is not None:
        weights = f"{recipe.hard_weight:g} : {1 - recipe.hard_weight:g}"
    each = " of each class" * (recipe.distillation == "sigmoid")
    yield (
        "",
        f"and T^2 x cross-entropy{each} with {recipe.teacher} at "
        f"T = {recipe.temperature:g}, weights {weights}",
    )


def _mixup(recipe):
    kinds = {"mixup": recipe.mixup_alpha, "CutMix": recipe.cutmix_alpha}
    used = [
        f"{name} with Beta({alpha:g}, {alpha:g})"
        for name, alpha in kinds.items()
        if alpha
    ]
    if not used:
        return "none"
    text = " or ".join(used)
    text += f", one weight for each {recipe.mixup_per}"
    if recipe.mixup_off_epochs:
        text += f", off for the last {recipe.mixup_off_epochs} epochs"
    return text


def _sampler(recipe):
    shares = {
        "balanced": "each class as often",
        "sqrt": "classes by the square roots of their sizes",
    }
    if recipe.sampler in shares:
        yield "sampler", f"{shares[recipe.sampler]}, others in each epoch"


def _input(recipe):
    """Yield what is done to images that are read while training runs."""
    if not recipe.streams:
        yield "input", f"in memory, augmentation {recipe.augmentation}"
        return
    sizes = ", then ".join(map(size_text, recipe.training_sizes))
    steps = []
    if recipe.augmentation == "crop":
        steps.append(f"crop of {recipe.min_crop_area:.0%} or more, flip")
        if recipe.policy != "none":
            steps.append(recipe.policy)
        if recipe.color_jitter:
            steps.append(
                f"jitter {recipe.color_jitter:g} ({recipe.jitter_convention})"
            )
        if recipe.lighting:
            steps.append(f"lighting {recipe.lighting:g}")
        if recipe.erasing:
            steps.append(f"erasing {recipe.erasing:g}")
    else:
        steps.append("central crop" if recipe.resize == "crop" else "letterbox")
    if recipe.repeated_augmentation > 1:
        steps.append(f"{recipe.repeated_augmentation} views of an image")
    colors = ", gray" if recipe.channels == 1 else ""
    yield "input", f"read as training runs, size {sizes}{colors}"
    yield "", ", ".join(steps)
    if recipe.resize != "crop" or recipe.test_image_size is not None:
        size = size_text(recipe.test_image_size or recipe.training_sizes[-1])
        yield "", f"validated on size {size}, {recipe.resize}"


def _average(recipe):
    if recipe.optimizer == "schedule_free_adamw":
        return (
            "validated and saved: the average of the fast weights; trained, "
            "with its batch-norm statistics: what is between them"
        )
    if not recipe.ema_decay:
        return "those of the last update"
    return (
        f"validated and saved: their moving average, {recipe.ema_decay:g}, "
        "batch-norm statistics included"
    )
