"""The largest batch that fits, with a memory that is made up."""

import keras
import pytest

from keras_tricks import Recipe, training
from keras_tricks.distribute import Distribution
from keras_tricks.training import largest_batch

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.usefixtures("small")


@pytest.mark.parametrize(
    "room, most, step, expected",
    [
        (100, 10**6, 1, 64),
        (128, 10**6, 1, 128),
        (10**9, 1000, 1, 512),
        (10**9, 48, 1, 32),
        (5, 10**6, 1, 4),
        (100, 10**6, 3, 96),
        (7, 10**6, 6, 6),
        (10**9, 2, 8, 8),
    ],
)
def test_the_largest_that_fits(room, most, step, expected):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= room

    assert largest_batch(fits, most, step) == expected
    assert len(tried) == len(set(tried)) and expected in tried
    assert all(size % step == 0 for size in tried)
    assert max(tried) <= max(most, step)


def no_memory():
    """The error that the backend raises."""
    if BACKEND == "torch":
        import torch

        return torch.OutOfMemoryError("CUDA out of memory.")
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.errors.ResourceExhaustedError(None, None, "OOM")
    import jax

    return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")


def other_error():
    """One of the same family that says something else."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.errors.InternalError(None, None, "OOM")
    if BACKEND == "jax":
        import jax

        return jax.errors.JaxRuntimeError("INTERNAL: Out of memory")
    return RuntimeError("CUDA error: out of memory")


@pytest.fixture
def device(monkeypatch):
    """A function that makes an accelerator with room for so many images."""
    build_run = training.run.build_run

    def make(room, error):
        sizes = []

        def build(recipe, *args):
            model, *others = build_run(recipe, *args)
            fit = model.fit

            def fit_or_fail(batches, **kwargs):
                sizes.append(batches.batch_size)
                if batches.batch_size > room:
                    raise error
                history = fit(batches, **kwargs)
                steps = int(model.optimizer.iterations)
                assert steps == 2 // recipe.gradient_accumulation_steps
                return history

            model.fit = fit_or_fail
            return (model, *others)

        found = training.find_batch_size.__globals__
        monkeypatch.setitem(found, "build_run", build)
        backend = found["_backend"]
        monkeypatch.setattr(backend, "has_accelerator", lambda: True)
        return sizes

    return make


def recipe_of(**changes):
    fields = {"train_samples": 768, "test_samples": 32, "epochs": 2}
    return Recipe(**{**fields, "warmup_epochs": 0, **changes})


def test_steps_are_tried_until_there_is_no_memory(device):
    sizes = device(16, no_memory())
    choice = training.find_batch_size(recipe_of(ema_decay=0.9))
    assert sizes == [32, 16] and choice.value == 16
    assert "of 768 images" in str(choice)


def test_the_batches_of_an_update_count_together(device):
    sizes = device(16, no_memory())
    recipe = recipe_of(gradient_accumulation_steps=2, batch_size=2)
    assert training.find_batch_size(recipe).value == 32
    assert sizes == [16]  # A part of the batch of 32.


def test_nothing_fits_and_another_error(device):
    device(0, no_memory())
    with pytest.raises(ValueError, match="a batch of 1 does not. Received"):
        training.find_batch_size(recipe_of())
    device(0, other_error())
    with pytest.raises(type(other_error()), match="OOM|emory"):
        training.find_batch_size(recipe_of())


def test_nothing_is_tried_without_an_accelerator(monkeypatch):
    monkeypatch.setitem(training.find_batch_size.__globals__, "build_run", None)
    for samples, expected in ((None, 64), (768, 32), (10, 1)):
        choice = training.find_batch_size(recipe_of(train_samples=samples))
        assert choice.value == expected
        assert "without an accelerator" in choice.reason


def test_several_processes_are_refused():
    several = Distribution()
    several.num_processes = 2
    with pytest.raises(ValueError, match="several processes.*'auto', 2 proc"):
        training.find_batch_size(recipe_of(), several)
