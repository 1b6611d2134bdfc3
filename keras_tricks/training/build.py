"""One function for each arrow from a recipe to a compiled model."""

import dataclasses

import keras

from keras_tricks import _backend, callbacks, metrics, models
from keras_tricks._last_activation import last_activation
from keras_tricks._plan import make_plan, make_schedule
from keras_tricks._precision import compute_dtypes
from keras_tricks.data import (
    Batches,
    ImageData,
    Preprocessing,
    augmentation,
    channel_statistics,
    load,
)
from keras_tricks.layers import MixUp
from keras_tricks.losses import LabelSmoothedCrossentropy, LabelSmoothedKD
from keras_tricks.optimizers import SGD
from keras_tricks.recipe import Recipe


def load_data(recipe: Recipe) -> ImageData:
    """Loads the data set of a recipe.

    Example:
    >>> from keras_tricks import Recipe
    >>> load_data(Recipe(train_samples=100)).x_train.shape
    (100, 8, 8, 1)
    """
    return load(
        recipe.dataset,
        recipe.data_dir,
        image_size=recipe.image_size,
        train_samples=recipe.train_samples,
        test_samples=recipe.test_samples,
        seed=recipe.seed,
    )


def build_batches(
    recipe: Recipe, data: ImageData, preprocessing: Preprocessing | None = None
) -> tuple[Batches, Batches]:
    """Returns the training and the validation batches of a recipe.

    Args:
        recipe: The recipe.
        data: Its data set.
        preprocessing: What the network's weights expect: its order of the
            channels, mean and deviation are taken. `None` for the mean and the
            deviation of the training images.

    Example:
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe(batch_size=32, data_format="channels_last")
    >>> train, validation = build_batches(recipe, load_data(recipe))
    >>> train[0][0].shape, train[0][1].shape, validation[0][1].shape
    ((32, 8, 8, 1), (32, 10), (32,))
    """
    plan = make_plan(recipe, len(data.x_train))
    common = {"data_format": choose_data_format(recipe)}
    if preprocessing is None:
        mean, std = channel_statistics(data.x_train)
        common |= {"mean": mean, "std": std}
    else:
        common["normalize"] = preprocessing.normalize
    train = Batches(
        data.x_train,
        data.y_train,
        plan.batch_size,
        seed=recipe.seed,
        augment=augmentation(recipe.augmentation),
        mix_up=build_mix_up(recipe, data.num_classes),
        accumulation_steps=recipe.gradient_accumulation_steps,
        **common,
    )
    validation = Batches(
        data.x_test,
        data.y_test,
        min(plan.batch_size, len(data.x_test)),
        shuffle=False,
        drop_remainder=False,
        **common,
    )
    return train, validation


def run_preprocessing(
    data: ImageData, preprocessing: Preprocessing | None = None
) -> Preprocessing | None:
    """Returns what turns another image into one that a run trains on.

    Args:
        data: The data set of the run.
        preprocessing: What the weights expect that the run starts from, if
            there are any and it is known.

    Returns:
        The view of `data` with the normalization of the weights, or else of
        `data`. `None` if the images are not square.

    Example:
    >>> from keras_tricks import Recipe
    >>> run_preprocessing(load_data(Recipe())).image_size
    8
    """
    own = data.preprocessing
    if own is None or preprocessing is None:
        return own
    return dataclasses.replace(
        preprocessing,
        image_size=own.image_size,
        crop_ratio=own.crop_ratio,
        interpolation=own.interpolation,
    )


def build_data(recipe: Recipe) -> tuple[ImageData, Batches, Batches]:
    """Returns the data set and the training and validation batches.

    Example:
    >>> from keras_tricks import Recipe
    >>> data, train, validation = build_data(Recipe())
    >>> len(data.x_train), len(train.images)
    (1438, 1438)
    """
    data = load_data(recipe)
    return data, *build_batches(recipe, data)


def build_mix_up(recipe: Recipe, num_classes: int) -> MixUp | None:
    """Returns the mixing layer of a recipe, or None without mixup.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_mix_up(Recipe(epochs=20, mixup_off_epochs=5), 10).off_from_epoch
    15
    """
    if not recipe.mixup_alpha:
        return None
    off = recipe.mixup_off_epochs
    return MixUp(
        recipe.mixup_alpha,
        per=recipe.mixup_per,
        num_classes=num_classes,
        off_from_epoch=recipe.epochs - off if off else None,
        seed=recipe.seed,
    )


def build_model(
    recipe: Recipe, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Returns the network of a recipe, not yet compiled.

    Args:
        recipe: The recipe; its seed decides the initial weights.
        image_shape: Height, width and channels, whatever the data format.
        num_classes: Number of logits.

    Raises:
        ValueError: If weights do not fit, see
            `keras_tricks.models.load_weights_from`.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_model(Recipe(), (8, 8, 1), 10).name
    'resnet18_d'
    >>> build_model(Recipe(model="mobilenet"), (8, 8, 1), 10).name
    'mobilenet'
    """
    keras.utils.set_random_seed(recipe.seed)
    data_format = choose_data_format(recipe)
    if data_format == "channels_first":
        image_shape = (image_shape[2], *image_shape[:2])
    options = {} if recipe.dropout is None else {"dropout": recipe.dropout}
    return NETWORKS[recipe.model](
        recipe,
        classes=num_classes,
        activation=recipe.activation,
        small_images=recipe.small_images,
        frozen_norm=recipe.frozen_norm,
        weights=recipe.weights,
        skip_head=recipe.skip_head,
        input_shape=image_shape,
        data_format=data_format,
        dtype=recipe.precision,
        **options,
    )


def _resnet(recipe, **options):
    return models.ResNet(
        recipe.depth,
        recipe.variant,
        width=recipe.width,
        zero_gamma=recipe.zero_gamma,
        drop_path=recipe.drop_path,
        **options,
    )


def _inception_v3(recipe, **options):
    return models.InceptionV3(width_multiplier=recipe.width / 64, **options)


def _mobilenet(recipe, **options):
    return models.MobileNet(width_multiplier=recipe.width / 64, **options)


NETWORKS = {
    "resnet": _resnet,
    "inception_v3": _inception_v3,
    "mobilenet": _mobilenet,
}
"""By `Recipe.model`: the fields that only this family has."""


def build_optimizer(recipe: Recipe, dataset_size: int) -> SGD:
    """Returns the optimizer of a recipe with its schedule.

    Example:
    >>> from keras_tricks import Recipe
    >>> optimizer = build_optimizer(Recipe(epochs=2, warmup_epochs=1), 640)
    >>> round(float(optimizer.learning_rate_at(9)), 4)
    0.025
    """
    plan = make_plan(recipe, dataset_size)
    steps = recipe.gradient_accumulation_steps
    return SGD(
        make_schedule(recipe, plan),
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        momentum_form=recipe.momentum_form,
        weight_decay=recipe.weight_decay,
        decay=recipe.decay,
        gradient_accumulation_steps=steps if steps > 1 else None,
    )


def build_loss(recipe: Recipe, distill: bool = False):
    """Returns the loss of a recipe.

    Args:
        recipe: The recipe.
        distill: Whether a teacher's logits come beside the labels.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_loss(Recipe(), distill=True).temperature
    20.0
    """
    smoothing = recipe.label_smoothing, recipe.smoothing_convention
    if not distill:
        return LabelSmoothedCrossentropy(*smoothing)
    return LabelSmoothedKD(
        smoothing[0],
        recipe.temperature,
        recipe.hard_weight,
        convention=smoothing[1],
    )


def compile_model(
    recipe: Recipe, model: keras.Model, dataset_size: int
) -> None:
    """Compiles a model as a recipe says; the model may be the user's own.

    A `keras_tricks.distillation.Distiller` gets the loss with the teacher's
    term, any other model that of the labels.

    Raises:
        ValueError: If the model ends in a softmax or another activation: the
            losses take logits.

    Example:
    >>> import keras
    >>> from keras_tricks import Recipe
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    >>> compile_model(Recipe(), model, dataset_size=640)
    >>> model.loss.label_smoothing
    0.1
    """
    student = getattr(model, "student", model)
    _check_logits(student)
    jit = {"on": True, "off": False, "auto": _backend.fastest_settings()[1]}
    optimizer = build_optimizer(recipe, dataset_size)
    if compute_dtypes(model)["float16"]:
        # Keras asks the policy of the model, not those of its layers.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # The student is what gets saved, ready for evaluation and fine-tuning.
    for part in {id(part): part for part in (model, student)}.values():
        part.compile(
            optimizer=optimizer,
            loss=build_loss(recipe, distill=student is not model),
            metrics=[
                metrics.DominantLabelAccuracy(name="accuracy"),
                metrics.Crossentropy(),
            ],
            jit_compile=jit[recipe.jit_compile],
        )


def build_average(
    recipe: Recipe,
) -> callbacks.ExponentialMovingAverage | None:
    """Returns the callback that averages the weights, or None without it.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_average(Recipe(ema_decay=0.99)).decay
    0.99
    """
    if not recipe.ema_decay:
        return None
    return callbacks.ExponentialMovingAverage(
        recipe.ema_decay, warmup=True, swap_on_epoch=True
    )


def choose_data_format(recipe: Recipe) -> str:
    """Returns the layout of the batches of a recipe.

    Example:
    >>> from keras_tricks import Recipe
    >>> choose_data_format(Recipe(data_format="channels_first"))
    'channels_first'
    """
    if recipe.data_format == "auto":
        return _backend.fastest_settings()[0]
    return recipe.data_format


def _check_logits(model):
    """Refuses a model whose last layer turns logits into something else."""
    found = last_activation(model)
    if found is not None:
        raise ValueError(
            "`model` must end in logits, without an activation. "
            f"Received: layer {found[0]!r} with {found[1]}"
        )
