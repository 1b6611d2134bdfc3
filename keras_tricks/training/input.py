"""From a recipe to the batches that it trains and validates on."""

import dataclasses
from typing import Any, cast

from keras_tricks import _backend
from keras_tricks._image_size import ImageSize, sides_of
from keras_tricks.data import (
    Batches,
    EpochBatches,
    ImageBatches,
    ImageData,
    ImageSet,
    Preprocessing,
    TrainTransform,
    load,
    open_images,
)
from keras_tricks.data.transforms import augmentation, channel_statistics
from keras_tricks.distribute import Distribution
from keras_tricks.layers import CutMix, MixUp, MixUpOrCutMix
from keras_tricks.networks.names import split_name
from keras_tricks.networks.sources import SOURCES
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.plan import make_plan


def load_data(recipe: Recipe) -> ImageData | ImageSet:
    """Load the data set of a recipe, or open it if it streams.

    Example:
    >>> from keras_tricks import Recipe
    >>> load_data(Recipe(train_samples=100)).x_train.shape
    (100, 8, 8, 1)
    >>> load_data(Recipe(augmentation="crop")).preprocessing.image_size
    224

    Raises:
        ValueError: If images may be of several classes and the recipe does
            not say so.
    """
    common: dict[str, Any] = {
        "train_samples": recipe.train_samples,
        "test_samples": recipe.test_samples,
        "seed": recipe.seed,
        "validation_share": recipe.validation_share,
        "split_seed": recipe.split_seed,
        "ignore_label": recipe.ignore_label,
        "multi_label": recipe.multi_label,
    }
    data = _load(recipe, common)
    if data.multi_label and not recipe.multi_label:
        raise ValueError(
            f"`multi_label` must be True for {data.name}, whose images may be "
            "of several classes, with loss='binary_crossentropy'. Received: "
            "multi_label=False"
        )
    return data


def _load(recipe, common):
    if recipe.streams:
        own = Preprocessing(
            recipe.test_image_size or recipe.training_sizes[-1],
            recipe.crop_ratio,
            resize=recipe.resize,
        )
        own = own.gray() if recipe.channels == 1 else own
        return open_images(
            recipe.dataset,
            recipe.data_dir,
            own,
            image_key=recipe.image_key,
            label_key=recipe.label_key,
            label_offset=recipe.label_offset,
            **common,
        )
    return load(
        recipe.dataset,
        recipe.data_dir,
        image_size=recipe.image_size,
        max_bad_records=recipe.max_bad_records,
        channels=recipe.channels,
        **common,
    )


def model_image_shape(
    recipe: Recipe, data: ImageData | ImageSet
) -> tuple[int | None, int | None, int]:
    """Return height, width and channels of what a recipe's network sees.

    The sides are `None` where it sees images of several sizes.

    Example:
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe(
    ...     augmentation="crop", image_size=64, progressive_sizes=(32, 64)
    ... )
    >>> model_image_shape(recipe, load_data(recipe))
    (None, None, 3)
    """
    if not recipe.streams:
        return cast(ImageData, data).image_shape
    sizes = {*recipe.training_sizes, data.preprocessing.image_size}
    sides = sides_of(sizes.pop()) if len(sizes) == 1 else (None, None)
    return *sides, len(data.preprocessing.channels)


def build_batches(
    recipe: Recipe,
    data: ImageData | ImageSet,
    preprocessing: Preprocessing | None = None,
) -> tuple[EpochBatches, EpochBatches]:
    """Return the training and the validation batches of a recipe.

    Args:
        recipe: The recipe.
        data: Its data set.
        preprocessing: What the network's weights expect: its order of the
            channels, mean and standard deviation are taken. `None` for those
            of the training images, or of ImageNet if they stream.

    Returns:
        Two `Batches`, or two `ImageBatches` if the recipe streams: the
        training batches of the last size, see `build_stages`.

    Example:
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe(batch_size=32, data_format="channels_last")
    >>> train, validation = build_batches(recipe, load_data(recipe))
    >>> train[0][0].shape, train[0][1].shape, validation[0][1].shape
    ((32, 8, 8, 1), (32, 10), (32,))
    """
    stages, validation = build_stages(recipe, data, preprocessing)
    return stages[-1][1], validation


def build_stages(
    recipe: Recipe,
    data: ImageData | ImageSet,
    preprocessing: Preprocessing | None = None,
    distribution: Distribution | None = None,
) -> tuple[list[tuple[int, EpochBatches]], EpochBatches]:
    """Return the training batches of each part of a run, and validation.

    Args:
        recipe: The recipe.
        data: Its data set.
        preprocessing: As of `build_batches`.
        distribution: On what is trained, one device by default. Of images
            that stream, each process reads its own.

    Returns:
        A list of `(epoch at which the part ends, batches)`, one for each of
        `progressive_sizes`, otherwise a single one; and the validation
        batches.

    Example:
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe(
    ...     augmentation="crop", image_size=24, progressive_sizes=(16, 24)
    ... )
    >>> stages, _ = build_stages(recipe, load_data(recipe))
    >>> [(end, batches.loader.transform.image_size) for end, batches in stages]
    [(10, 16), (20, 24)]
    """
    distribution = distribution or Distribution()
    plan = make_plan(recipe, data.train_size)
    train: dict[str, Any] = {
        "batch_size": plan.batch_size,
        "seed": recipe.seed,
        "mix_up": build_mix_up(recipe, data.num_classes),
        "accumulation_steps": recipe.gradient_accumulation_steps,
        "sampler": recipe.sampler,
    }
    if recipe.streams:
        return _streams(recipe, data, preprocessing, train, distribution)
    data = cast(ImageData, data)  # As `load_data` returns it.
    common: dict[str, Any] = {"data_format": choose_data_format(recipe)}
    if preprocessing is None:
        mean, std = channel_statistics(data.x_train)
        common |= {"mean": mean, "std": std}
    else:
        common["normalize"] = preprocessing.normalize
    batches = Batches(
        data.x_train,
        data.y_train,
        augment=augmentation(recipe.augmentation),
        **train,
        **common,
    )
    validation = Batches(
        data.x_test,
        data.y_test,
        _test_batch_size(plan.batch_size, len(data.x_test), distribution),
        shuffle=False,
        drop_remainder=False,
        **common,
    )
    return [(recipe.epochs, batches)], validation


def _test_batch_size(batch_size, test_size, distribution):
    """Return the batch size of training, or less if there are fewer images."""
    replicas = distribution.num_replicas
    return max(replicas, min(batch_size, test_size // replicas * replicas))


def _streams(recipe, data, preprocessing, train, distribution):
    own = run_preprocessing(data, preprocessing)
    common = {
        "preprocessing": own,
        "data_format": choose_data_format(recipe),
        "finish_on": (
            "device" if finishes_on_device(recipe, distribution) else "host"
        ),
        "shard": distribution.shard,
        "engine": recipe.input_engine,
        "workers": recipe.workers,
        "max_bad_records": recipe.max_bad_records,
    }
    sizes = recipe.training_sizes
    ends = [recipe.epochs * (i + 1) // len(sizes) for i in range(len(sizes))]
    stages = [
        ImageBatches(
            data.train,
            transform=build_transform(recipe, size),
            shuffle=True,
            repeats=recipe.repeated_augmentation,
            **train,
            **common,
        )
        for size in sizes
    ]
    for other in stages[1:]:
        other.bad = stages[0].bad
    validation = ImageBatches(
        data.test,
        batch_size=_test_batch_size(
            train["batch_size"], len(data.test), distribution
        ),
        drop_remainder=False,
        **common,
    )
    return list(zip(ends, stages, strict=True)), validation


def build_transform(
    recipe: Recipe, image_size: ImageSize
) -> TrainTransform | None:
    """Return the random transform of a recipe, or None for the central crop.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_transform(Recipe(augmentation="crop", lighting=0.0), 64).lighting
    0.0
    """
    if recipe.augmentation != "crop":
        return None
    return TrainTransform(
        image_size,
        area=(recipe.min_crop_area, 1.0),
        policy=None if recipe.policy == "none" else recipe.policy,
        magnitude=recipe.magnitude,
        severity=recipe.severity,
        channels=recipe.channels or 3,
        erasing=recipe.erasing,
        jitter=recipe.color_jitter,
        jitter_convention=recipe.jitter_convention,
        lighting=recipe.lighting,
    )


def finishes_on_device(
    recipe: Recipe, distribution: Distribution | None = None
) -> bool:
    """Return whether the training step normalizes and mixes.

    Args:
        recipe: The recipe.
        distribution: On what is trained, one device by default.

    Example:
    >>> from keras_tricks import Recipe
    >>> finishes_on_device(Recipe(augmentation="crop", finish_on="device"))
    True
    """
    if recipe.finish_on == "auto":
        able = recipe.streams and recipe.teacher is None
        able = able and not recipe.cutmix_alpha
        if recipe.mixup_alpha and distribution is not None:
            able = able and distribution.mixes_on_device
        return able and _backend.has_accelerator()
    return recipe.finish_on == "device"


def run_preprocessing(
    data: ImageData | ImageSet, preprocessing: Preprocessing | None = None
) -> Preprocessing | None:
    """Return what turns another image into one that a run validates on.

    Args:
        data: The data set of the run.
        preprocessing: What the weights expect that the run starts from, if
            there are any and it is known.

    Returns:
        The crop of `data` with the normalization of the weights, or else of
        `data`. `None` if the images are neither gray nor RGB.

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
        resize=own.resize,
    )


def build_data(
    recipe: Recipe,
) -> tuple[ImageData | ImageSet, EpochBatches, EpochBatches]:
    """Return the data set and the training and validation batches.

    Example:
    >>> from keras_tricks import Recipe
    >>> data, train, validation = build_data(Recipe())
    >>> len(data.x_train), len(train.images)
    (1438, 1438)
    """
    data = load_data(recipe)
    return data, *build_batches(recipe, data)


def build_mix_up(
    recipe: Recipe, num_classes: int
) -> MixUp | CutMix | MixUpOrCutMix | None:
    """Return the mixing layer of a recipe, or None if nothing is mixed.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_mix_up(Recipe(epochs=20, mixup_off_epochs=5), 10).off_from_epoch
    15
    >>> type(build_mix_up(Recipe(cutmix_alpha=1.0), 10)).__name__
    'MixUpOrCutMix'
    """
    off = recipe.mixup_off_epochs
    common: dict[str, Any] = {
        "per": recipe.mixup_per,
        "num_classes": num_classes,
        "off_from_epoch": recipe.epochs - off if off else None,
        "seed": recipe.seed,
    }
    mix_up = cut_mix = None
    if recipe.mixup_alpha:
        mix_up = MixUp(recipe.mixup_alpha, **common)
    if recipe.cutmix_alpha:
        data_format = choose_data_format(recipe)
        cut_mix = CutMix(recipe.cutmix_alpha, data_format=data_format, **common)
    if mix_up and cut_mix:
        return MixUpOrCutMix(mix_up, cut_mix, seed=recipe.seed)
    return mix_up or cut_mix


def choose_data_format(recipe: Recipe) -> str:
    """Return the layout of the batches of a recipe.

    Example:
    >>> from keras_tricks import Recipe
    >>> choose_data_format(Recipe(data_format="channels_first"))
    'channels_first'
    """
    if recipe.data_format == "auto":
        if split_name(recipe.model)[0] in SOURCES:
            # Networks of others are made for it, and some for nothing else.
            return "channels_last"
        return _backend.fastest_settings()[0]
    return recipe.data_format
