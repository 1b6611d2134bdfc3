"""Runs whose images are read while they train."""

import shutil

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, evaluation, training
from keras_tricks.data.pipeline.bad_records import TooManyBadRecords
from keras_tricks.report import read_run

from ..data.damaged_images import encode, photo, write

STREAM = Recipe(
    augmentation="crop",
    image_size=16,
    batch_size=8,
    epochs=3,
    warmup_epochs=1,
    base_learning_rate=1.0,
    width=2,
)

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes, of which one is darker."""
    root = tmp_path_factory.mktemp("photos")
    for part, count in (("train", 17), ("val", 5)):
        for label, name in enumerate(("bright", "dark")):
            files = {
                f"{i:02}.jpg": encode(photo(100 * label + i) // (1 + label))
                for i in range(count)
            }
            write(f"{root}/{part}/{name}", files)
    return root


def history(folder):
    run = read_run(folder).history
    return {name: run[name] for name in ("loss", "val_loss", "accuracy")}


def weights(run):
    return [keras.ops.convert_to_numpy(w) for w in run.model.weights]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"finish_on": "device", "mixup_off_epochs": 1},
        {
            "progressive_sizes": (12, 16),
            "test_image_size": 20,
            "ema_decay": 0.9,
            "repeated_augmentation": 2,
            "policy": "rand_augment",
            "erasing": 0.5,
            "cutmix_alpha": 1.0,
            "input_engine": "grain",
        },
    ],
    ids=["plain", "device", "everything"],
)
def test_an_interrupted_run_continues_bit_for_bit(photos, tmp_path, changes):
    recipe = STREAM.replace(data_dir=str(photos), **changes)
    whole = training.prepare(recipe, tmp_path / "whole")
    result = whole.fit(verbose=0)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1 and batch == 1:
                raise InterruptedError

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    with pytest.raises(InterruptedError):
        training.train(recipe, tmp_path / "cut", 0, [Stop()])
    # What only says how fast it goes may change on the way.
    again = training.prepare(
        recipe.replace(max_bad_records=3), tmp_path / "cut"
    )
    assert again.epochs_done == 1
    assert again.fit(verbose=0)["val_accuracy"] == result["val_accuracy"]
    for one, two in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    assert len(history(tmp_path / "cut")["loss"]) == 3


def test_the_device_computes_what_the_host_does(photos, tmp_path):
    losses = {}
    for where in ("host", "device"):
        recipe = STREAM.replace(
            data_dir=str(photos), finish_on=where, mixup_per="sample"
        )
        run = training.prepare(recipe, tmp_path / where)
        run.fit(verbose=0)
        losses[where] = history(tmp_path / where)
        x = run.train_batches[0][0]
        assert isinstance(x, dict) == (where == "device")
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(
            losses["host"][name], losses["device"][name], rtol=1e-4
        )


def test_the_saved_run_is_evaluated_as_it_was_validated(photos, tmp_path):
    recipe = STREAM.replace(data_dir=str(photos), test_image_size=24)
    result = training.train(recipe, tmp_path / "run", verbose=0)
    classifier = evaluation.load_classifier(tmp_path / "run/last.keras")
    assert classifier.preprocessing.image_size == 24
    images = evaluation.load_images(classifier)
    found = evaluation.evaluate(classifier, images)
    share = found.accuracy()
    assert share.hits / share.count == pytest.approx(result["val_accuracy"])


@pytest.fixture
def spoiled(photos, tmp_path):
    root = tmp_path / "spoiled"
    shutil.copytree(photos, root)
    (root / "train" / "dark" / "03.jpg").write_bytes(b"")
    (root / "val" / "bright" / "01.jpg").write_bytes(b"no image")
    return root


def test_bad_records_are_listed_in_the_run_folder(spoiled, tmp_path, capsys):
    recipe = STREAM.replace(data_dir=str(spoiled), max_bad_records=1)
    training.train(recipe, tmp_path / "run", verbose=0)
    for part, name in (
        ("training", "train/dark/03.jpg"),
        ("test", "val/bright/01.jpg"),
    ):
        text = (tmp_path / "run" / f"bad_{part}_records.tsv").read_text()
        assert text.startswith(f"{name}\t") and text.count("\n") == 1
    assert capsys.readouterr().err.count("Skipped 1 unreadable record") == 2


def test_too_many_bad_records_end_a_run_with_their_name(spoiled, tmp_path):
    recipe = STREAM.replace(data_dir=str(spoiled))
    with pytest.raises(TooManyBadRecords, match="0 records may be unread"):
        training.train(recipe, tmp_path / "run", verbose=0)


def test_a_run_of_another_view_is_not_continued(photos, tmp_path):
    recipe = STREAM.replace(data_dir=str(photos), epochs=1)
    training.prepare(recipe, tmp_path / "run")
    with pytest.raises(ValueError, match="color_jitter is 0.4 and not 0.2"):
        training.prepare(recipe.replace(color_jitter=0.2), tmp_path / "run")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"augmentation": "shift"}, "`color_jitter` must be 0.4 with augm"),
        ({"input_engine": "memory"}, "`input_engine` must be 'auto', 'tf.d"),
        ({"progressive_sizes": (8, 12)}, "the last of them image_size=16"),
        ({"min_crop_area": 0.0}, "`min_crop_area` must be above 0"),
        ({"magnitude": 5.0}, "`magnitude` must be 9 without policy"),
        (
            {"finish_on": "device", "cutmix_alpha": 1.0},
            "`finish_on` must be 'auto' or 'host' with CutMix",
        ),
        (
            {"finish_on": "device", "teacher": "teacher.keras"},
            "`finish_on` must be 'auto' or 'host' with a teacher",
        ),
    ],
)
def test_combinations_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        STREAM.replace(**{"color_jitter": 0.2, **changes})
