"""Features that are computed once for a head that trains alone."""

import keras
import numpy as np
import pytest

from keras_tricks import training
from keras_tricks.training.features import CachedFeatures

from .test_freezing import Stop, arrays, equal, recipe_of, saved, small

assert small  # A fixture.


def cached(**changes):
    fields = {"augmentation": "none", "mixup_alpha": 0.0}
    return recipe_of(**{**fields, **changes})


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_result_is_that_of_the_whole_network(tmp_path, precision):
    found = {}
    for cache in ("on", "off"):
        recipe = cached(
            cache_features=cache,
            precision=precision,
            gradient_accumulation_steps=2,
        )
        run = training.prepare(recipe, tmp_path / cache)
        found[cache] = run.fit(verbose=0), run.explanation
    ours, theirs = (saved(tmp_path / cache) for cache in ("on", "off"))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    # Not what the network began with.
    assert equal(ours, arrays(run.model))[:-2] == [True] * (len(ours) - 2)
    on, off = (found[cache][0]["val_crossentropy"] for cache in ("on", "off"))
    assert on == pytest.approx(off, rel=1e-3)
    assert "features  computed once" in found["on"][1]
    assert "each epoch: cache_features='off'" in found["off"][1]
    # A network that loads, is whole, and has no features beside it.
    model = keras.saving.load_model(tmp_path / "on" / "best.keras")
    assert model.input_shape == (None, 8, 8, 1)
    assert not (tmp_path / "on" / "features.npz").exists()


@pytest.mark.parametrize("at", [(0, 1), (1, 2)])
def test_a_stopped_run_continues_bit_for_bit(tmp_path, at):
    whole = training.prepare(cached(), tmp_path / "whole").fit(verbose=0)
    folder = tmp_path / "stopped"
    run = training.prepare(cached(), folder, backup_every_steps=1)
    with pytest.raises(RuntimeError):
        run.fit(verbose=0, extra_callbacks=[Stop(*at)])
    assert (folder / "features.npz").exists()
    run = training.prepare(cached(), folder, resume="must")
    result = run.fit(verbose=0)
    assert all(equal(saved(tmp_path / "whole"), saved(folder)))
    assert result["val_crossentropy"] == whole["val_crossentropy"]


def features_of(run, folder=None):
    features = run.validation_batches.features
    folder = folder or features.path.parent
    return CachedFeatures(features.front, features.batches, folder)


def test_a_file_of_other_weights_or_images_is_not_used(tmp_path, monkeypatch):
    run = training.prepare(cached(), tmp_path / "run")
    features = features_of(run)
    features.compute()
    monkeypatch.setattr(CachedFeatures, "_compute", lambda *_: 1 / 0)
    again = features_of(run)
    for ours, theirs in zip(again.arrays, features.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    batches = features.batches[1]
    batches.images[0, 0, 0, 0] ^= 1
    with pytest.raises(ZeroDivisionError):
        features_of(run).compute()
    batches.images[0, 0, 0, 0] ^= 1
    features_of(run).compute()
    kernel = features.front.weights[0]
    kernel.assign(kernel * 1.0001)
    with pytest.raises(ZeroDivisionError):
        features_of(run).compute()


def test_a_damaged_file_is_not_used(tmp_path):
    run = training.prepare(cached(), tmp_path / "run")
    features = features_of(run)
    features.compute()
    features.path.write_bytes(features.path.read_bytes()[:-100])
    again = features_of(run)
    again.compute()
    for ours, theirs in zip(again.arrays, features.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_head_does_not_go_on_with_other_features(tmp_path):
    run = training.prepare(cached(), tmp_path / "run")
    features = run.validation_batches.features
    features.check_state(features.get_state())
    with pytest.raises(ValueError, match="`weights` and the images must be"):
        features.check_state("another")


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"augmentation": "shift"}, "augmentation='shift'"),
        ({"mixup_alpha": 0.2}, "mixup or CutMix"),
        ({"freeze": "stem"}, "freeze='stem', not 'backbone'"),
        ({"unfreeze_epoch": 1}, "unfreeze_epoch, after which all trains"),
        ({"drop_path": 0.1}, "drop_path, which is in front of the head"),
    ],
)
def test_what_cannot_be_cached_is_refused_if_asked_for(changes, reason):
    expected = f"`cache_features` must be 'auto' or 'off' with {reason}"
    with pytest.raises(ValueError, match=expected):
        cached(cache_features="on", **changes)
