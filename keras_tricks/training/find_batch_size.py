"""The largest batch that an accelerator has room for."""

import tempfile
from collections.abc import Callable

import keras

from keras_tricks import _backend, _checks
from keras_tricks.distribute import Distribution
from keras_tricks.recipe import Recipe
from keras_tricks.training.build import build_average
from keras_tricks.training.fit_to_data import Choice, look_at_data
from keras_tricks.training.input import load_data
from keras_tricks.training.run import build_run

# What is tried first, and taken where there is no accelerator.
_USUAL = 64
# As many updates as an epoch is to have.
_UPDATES = 16
_STEPS = 2


def largest_batch(
    fits: Callable[[int], bool], most: int, step: int = 1, first: int = _USUAL
) -> int:
    """Return the largest batch that fits, a power of two times a step.

    It is doubled from the first one on until it does not fit, or halved
    until it does.

    Args:
        fits: Whether there is room for a batch of some size.
        most: What the batch must not exceed.
        step: What it must be a multiple of, at least 1.
        first: About what is tried first.

    Returns:
        `step * 2^k`, at most `most`, but at least `step`.

    Raises:
        ValueError: If a batch of `step` does not fit.

    Example:
    >>> largest_batch(lambda size: size <= 100, most=1000, step=3)
    96
    """
    step = _checks.check_int("step", step, 1)
    size = _power_below(min(first, most), step)
    if fits(size):
        while 2 * size <= most and fits(2 * size):
            size *= 2
        return size
    while size > step:
        size //= 2
        if fits(size):
            return size
    raise ValueError(
        "`batch_size` must fit into the memory of the accelerator, and a "
        f"batch of {step} does not. Received: batch_size='auto'"
    )


def _power_below(most, step):
    """Return the largest `step * 2^k` up to a number, at least `step`."""
    return step * 2 ** (max(1, most // step).bit_length() - 1)


def find_batch_size(
    recipe: Recipe, distribution: Distribution | None = None
) -> Choice:
    """Find the largest batch whose training step an accelerator has room for.

    It is a power of two times the devices and the batches that an update has,
    and at most a sixteenth of the training images. Steps of the recipe are
    compiled and taken until one finds no memory. Where the whole network
    trains later, or on features that are computed once, it is the step of the
    whole network. Without an accelerator nothing is tried: a batch of 64 then,
    or fewer.

    Args:
        recipe: The recipe; its batch size does not count.
        distribution: On what is trained. Defaults to one device.

    Returns:
        The batch size and the reason.

    Raises:
        ValueError: If there are several processes, which would have to find
            the same, or not even the smallest batch fits.
        Exception: As `keras_tricks.training.prepare`.

    Example:
    >>> find_batch_size(Recipe(train_samples=640)).value <= 64
    True
    """
    distribution = distribution or Distribution()
    if distribution.num_processes > 1:
        raise ValueError(
            "`batch_size` must be a number with several processes. "
            f"Received: batch_size='auto', {distribution.num_processes} "
            "processes"
        )
    step = recipe.gradient_accumulation_steps * distribution.num_replicas
    if not _backend.has_accelerator():
        facts = look_at_data(
            recipe.dataset, recipe.data_dir, recipe.multi_label
        )
        count = recipe.train_samples or (facts and facts.count)
        most = count // _UPDATES if count else _USUAL
        return Choice(
            "batch_size",
            _power_below(min(_USUAL, most), step),
            f"{_USUAL} without an accelerator, and at most a sixteenth of the "
            "images",
        )
    data = load_data(recipe)
    recipe = recipe.replace(cache_features="off")
    if recipe.unfreeze_epoch is not None:
        recipe = recipe.replace(freeze=None, unfreeze_epoch=None)
    with tempfile.TemporaryDirectory() as folder:
        size = largest_batch(
            lambda size: _fits(
                recipe.replace(batch_size=size), data, distribution, folder
            ),
            data.train_size // _UPDATES,
            step,
        )
    return Choice(
        "batch_size",
        size,
        f"the largest power of two x {step} with which a step fits, and at "
        f"most a sixteenth of {data.train_size:,} images",
    )


def _fits(recipe, data, distribution, folder):
    """Take steps of a recipe; return whether there was room for them."""
    try:
        with distribution.scope():
            model, stages, *_ = build_run(
                recipe, data, distribution, folder, None
            )

        def stop(batch, logs=None):
            model.stop_training = batch + 1 >= _STEPS

        average = build_average(recipe)
        model.fit(
            distribution.batches(stages[-1][1]),
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_train_batch_end=stop),
                *([average] if average is not None else []),
            ],
        )
    except Exception as error:
        if not _backend.is_out_of_memory(error):
            raise
        return False
    finally:
        model = stages = average = None
        _backend.free_memory()
    return True
