"""One function for each arrow from a recipe to a compiled model."""

import functools

import keras
import numpy as np

from keras_tricks import _backend, callbacks, metrics, models, networks
from keras_tricks._model_facts.last_activation import check_ends_in_logits
from keras_tricks._model_facts.precision import compute_dtypes
from keras_tricks.distillation import Distiller
from keras_tricks.distribute import Distribution
from keras_tricks.losses import (
    LabelSmoothedBinaryCrossentropy,
    LabelSmoothedBinaryKD,
    LabelSmoothedCrossentropy,
    LabelSmoothedKD,
)
from keras_tricks.networks.names import split_name
from keras_tricks.networks.sources import SOURCES
from keras_tricks.optimizers import sharpness_aware
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.plan import make_optimizer, make_plan, make_schedule
from keras_tricks.training.class_balance import class_balance
from keras_tricks.training.input import choose_data_format

Average = callbacks.ExponentialMovingAverage | callbacks.ScheduleFreeAverage
"""What may show averaged weights where a model is scored and saved."""


def build_model(
    recipe: Recipe, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Return the network of a recipe, not yet compiled.

    Args:
        recipe: The recipe; its seed decides the initial weights.
        image_shape: Height, width and channels, whatever the data format.
        num_classes: Number of logits.

    Raises:
        ValueError: If weights do not fit, see
            `keras_tricks.models.load_weights_from`, or the network of others
            does not, see `keras_tricks.networks.build_network`.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_model(Recipe(), (8, 8, 1), 10).name
    'resnet18_d'
    >>> build_model(Recipe(model="mobilenet"), (8, 8, 1), 10).name
    'mobilenet'
    """
    keras.utils.set_random_seed(recipe.seed)
    options = {} if recipe.dropout is None else {"dropout": recipe.dropout}
    return NETWORKS[split_name(recipe.model)[0]](
        recipe,
        image_shape,
        num_classes=num_classes,
        activation=recipe.activation,
        frozen_norm=recipe.frozen_norm,
        weights=recipe.weights,
        skip_head=recipe.skip_head,
        data_format=choose_data_format(recipe),
        dtype=recipe.precision,
        **options,
    )


def _ours(recipe, image_shape, constructor, **options):
    """Build a network of ours, which takes images in its own layout."""
    if options["data_format"] == "channels_first":
        image_shape = (image_shape[2], *image_shape[:2])
    return constructor(
        input_shape=image_shape, small_images=recipe.small_images, **options
    )


def _resnet(recipe, image_shape, **options):
    constructor = functools.partial(
        models.ResNet,
        recipe.depth,
        recipe.variant,
        width=recipe.width,
        zero_gamma=recipe.zero_gamma,
        drop_path=recipe.drop_path,
    )
    return _ours(recipe, image_shape, constructor, **options)


def _scaled(name):
    def build(recipe, image_shape, **options):
        constructor = functools.partial(
            getattr(models, name), width_multiplier=recipe.width / 64
        )
        return _ours(recipe, image_shape, constructor, **options)

    return build


def _of_others(recipe, image_shape, **options):
    return networks.build_network(
        recipe.model,
        image_shape,
        zero_gamma=recipe.zero_gamma,
        drop_path=recipe.drop_path,
        **options,
    )


NETWORKS = {
    "resnet": _resnet,
    "inception_v3": _scaled("InceptionV3"),
    "mobilenet": _scaled("MobileNet"),
    **dict.fromkeys(SOURCES, _of_others),
}
"""By the kind of `Recipe.model`: the fields that only this kind has."""


def build_optimizer(
    recipe: Recipe,
    dataset_size: int,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
    model: keras.Model | None = None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer of a recipe with its schedule.

    Args:
        recipe: The recipe.
        dataset_size: Number of training samples.
        schedule: Of the learning rate, in place of the recipe's.
        model: What it trains; needed with `layer_decay` and
            `head_learning_rate`.

    Raises:
        ValueError: If a model is needed and not given, or has no graph.

    Example:
    >>> from keras_tricks import Recipe
    >>> optimizer = build_optimizer(Recipe(epochs=2, warmup_epochs=1), 640)
    >>> round(float(optimizer.learning_rate_at(9)), 4)
    0.025
    """
    plan = make_plan(recipe, dataset_size)
    if recipe.rates_differ and model is None:
        raise ValueError(
            "`model` must be given with `layer_decay` or "
            "`head_learning_rate`, which differ within it. "
            f"Received: model=None, layer_decay={recipe.layer_decay:g}, "
            f"head_learning_rate={recipe.head_learning_rate}"
        )
    schedule = schedule or make_schedule(recipe, plan)
    return make_optimizer(recipe, schedule, model)


def build_loss(
    recipe: Recipe,
    distill: bool = False,
    class_counts: np.ndarray | None = None,
) -> keras.losses.Loss:
    """Return the loss of a recipe.

    Args:
        recipe: The recipe.
        distill: Whether a teacher's logits come beside the labels.
        class_counts: Training images of each class, for the weights of the
            classes and for logit adjustment.

    Raises:
        ValueError: If the recipe needs counts and there are none.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_loss(Recipe(), distill=True).temperature
    20.0
    """
    smoothing = recipe.label_smoothing, recipe.smoothing_convention
    balance = class_balance(recipe, class_counts)
    if recipe.distillation == "sigmoid" and distill:
        return LabelSmoothedBinaryKD(
            smoothing[0],
            recipe.temperature,
            recipe.hard_weight,
            smoothing[1],
            recipe.target_threshold,
            recipe.class_reduction,
        )
    if distill:
        return LabelSmoothedKD(
            smoothing[0],
            recipe.temperature,
            recipe.hard_weight,
            convention=smoothing[1],
            **balance,
        )
    if recipe.loss == "binary_crossentropy":
        return LabelSmoothedBinaryCrossentropy(
            *smoothing,
            recipe.target_threshold,
            recipe.class_reduction,
            **balance,
        )
    return LabelSmoothedCrossentropy(*smoothing, **balance)


def compile_model(
    recipe: Recipe,
    model: keras.Model,
    dataset_size: int,
    distribution: Distribution | None = None,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
    class_counts: np.ndarray | None = None,
) -> None:
    """Compile a model as a recipe says; the model may be the user's own.

    A `keras_tricks.distillation.Distiller` gets the loss with the teacher's
    term, any other model that of the labels.

    Args:
        recipe: The recipe.
        model: The model.
        dataset_size: Number of training samples.
        distribution: On what is trained; one device by default.
        schedule: Of the learning rate, in place of the recipe's.
        class_counts: As of `build_loss`: `class_counts` of the data.

    Raises:
        ValueError: If the model ends in a softmax or another activation: the
            losses take logits. If the recipe has weights for another number of
            classes, or needs counts and there are none. If `sam_rho` is above 0
            on several devices.

    Example:
    >>> import keras
    >>> from keras_tricks import Recipe
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    >>> compile_model(Recipe(), model, dataset_size=640)
    >>> model.loss.label_smoothing
    0.1
    """
    student = getattr(model, "student", model)
    if recipe.sam_rho and distribution and distribution.num_replicas > 1:
        raise ValueError(
            "`sam_rho` must be 0 on several devices. "
            f"Received: sam_rho={recipe.sam_rho}, "
            f"{distribution.num_replicas} devices"
        )
    check_ends_in_logits("model", student)
    compiles = distribution is None or distribution.compiles
    fastest = _backend.fastest_settings()[1] if compiles else False
    jit = {"on": True, "off": False, "auto": fastest}
    optimizer = build_optimizer(recipe, dataset_size, schedule, student)
    parts = {id(part): part for part in (model, student)}.values()
    if any(compute_dtypes(part)["float16"] for part in parts):
        # Keras asks the policy of the model, not those of its layers.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    distill, classes = isinstance(model, Distiller), student.output_shape[-1]
    build_loss(recipe, distill, class_counts).balance.check(classes)
    # The student is what gets saved, ready for evaluation and fine-tuning.
    for part in parts:
        part.compile(
            optimizer=optimizer,
            loss=build_loss(recipe, distill, class_counts),
            metrics=_build_metrics(recipe, classes),
            jit_compile=jit[recipe.jit_compile],
        )
    if recipe.sam_rho:
        sharpness_aware(model, recipe.sam_rho)


def _build_metrics(recipe, num_classes):
    """Return what is logged; of unequal classes their mean recall too."""
    if recipe.multi_label:
        return [
            metrics.MeanAveragePrecision(num_classes),
            keras.metrics.BinaryCrossentropy("crossentropy", from_logits=True),
        ]
    logged = [
        metrics.DominantLabelAccuracy(name="accuracy"),
        metrics.Crossentropy(),
    ]
    if (
        recipe.sampler != "none"
        or recipe.class_weights is not None
        or recipe.logit_adjustment
    ):
        logged.append(metrics.BalancedAccuracy(num_classes))
    return logged


def build_average(recipe: Recipe) -> Average | None:
    """Return the callback that validates and saves averages, or None.

    Training may go on after `fit`, so `apply` is left to the caller.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_average(Recipe(ema_decay=0.99)).ema_decay
    0.99
    """
    if recipe.optimizer == "schedule_free_adamw":
        return callbacks.ScheduleFreeAverage(apply_at_end=False)
    if not recipe.ema_decay:
        return None
    return callbacks.ExponentialMovingAverage(
        recipe.ema_decay, warmup=True, swap_on_epoch=True, apply_at_end=False
    )
