"""Runs on images that are no squares, from the first step to the export."""

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, evaluation, training
from keras_tricks.data import Preprocessing, open_image_files
from keras_tricks.data.transforms import decode_image
from keras_tricks.export import (
    FORMATS,
    check_format,
    example_inputs,
    export_model,
)

from ..data.damaged_images import encode, photo, write

SIZE = (16, 24)
RECIPE = Recipe(
    augmentation="crop",
    image_size=SIZE,
    batch_size=8,
    epochs=2,
    warmup_epochs=1,
    data_format="channels_last",
)

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes, lying and standing, of which one is darker."""
    root = tmp_path_factory.mktemp("photos")
    for part, count in (("train", 9), ("val", 4)):
        for label, name in enumerate(("bright", "dark")):
            files = {
                f"{i}.jpg": encode(
                    photo(9 * label + i, 30 + 9 * (i % 4), 48) // (1 + label)
                )
                for i in range(count)
            }
            write(f"{root}/{part}/{name}", files)
    return root


def logits(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": "rand_augment", "erasing": 0.5, "cutmix_alpha": 1.0},
        {
            "resize": "letterbox",
            "test_image_size": (20, 32),
            "input_engine": "grain",
        },
        {"augmentation": "shift_flip", "cutmix_alpha": 1.0},
        {"channels": 1, "policy": "aug_mix", "erasing": 0.5},
        {"channels": 1, "augmentation": "shift_flip"},
    ],
    ids=["crop", "letterbox", "memory", "gray", "gray in memory"],
)
def test_from_the_first_step_to_the_export(photos, tmp_path, changes):
    recipe = RECIPE.replace(data_dir=str(photos), **changes)
    whole = training.prepare(recipe, tmp_path / "whole")
    streams = recipe.augmentation == "crop"
    assert ("size 16x24" in whole.explanation) == streams
    boxed = "validated on size 20x32, letterbox" in whole.explanation
    assert boxed == (recipe.resize == "letterbox")
    x = np.asarray(whole.train_batches[0][0])
    channels = recipe.channels or 3
    assert x.shape == (8, *SIZE, channels)
    result = whole.fit(verbose=0)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        training.train(recipe, tmp_path / "cut", 0, [Stop()])
    again = training.prepare(recipe, tmp_path / "cut")
    assert again.epochs_done == 1
    again.fit(verbose=0)
    for one, two in zip(whole.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(
            *map(keras.ops.convert_to_numpy, (one, two))
        )

    classifier = evaluation.load_classifier(tmp_path / "whole")
    assert classifier.recipe == recipe
    own = classifier.preprocessing
    assert own.image_size == changes.get("test_image_size", SIZE)
    assert own.resize == recipe.resize
    assert own.channels == ("RGB" if channels == 3 else "L")
    images = evaluation.load_images(classifier)
    share = evaluation.evaluate(classifier, images).accuracy()
    assert share.hits / share.count == pytest.approx(result["val_accuracy"])
    # As files of elsewhere, and as a user has it who has the JSON alone.
    same = evaluation.load_images(classifier, photos)
    assert evaluation.evaluate(classifier, same).accuracy() == share
    paths = [
        f"{photos}/val/{kind}/{i}.jpg"
        for kind in ("bright", "dark")
        for i in range(4)
    ]
    assert len(open_image_files(paths)) == 8
    known = Preprocessing.from_json(own.to_json())
    x = np.stack([known(decode_image(path)) for path in paths])
    assert x.shape == (8, *own.input_shape)
    told = logits(classifier.model, x).argmax(-1)
    assert (told == np.repeat([0, 1], 4)).sum() == share.hits

    examples = example_inputs(classifier, samples=8)
    assert examples.shape == (8, *own.input_shape)
    for name in ("keras", "onnx"):
        if keras.backend.backend() not in FORMATS[name].backends:
            continue
        check_format(name)
        path = tmp_path / f"network{FORMATS[name].suffix}"
        report = export_model(classifier.model, path, name, examples)
        assert report.same_class == report.images == 8
        sides = report.input_shape[1:]
        assert sides in (own.input_shape, (None, None, channels))


def test_the_shape_is_that_of_the_run_and_the_colors_those_of_weights(photos):
    recipe = RECIPE.replace(data_dir=str(photos), resize="letterbox")
    of_weights = Preprocessing(299, 1.0, "bicubic", (1, 2, 3), (4, 5, 6), "BGR")
    data = training.load_data(recipe)
    assert training.input.run_preprocessing(data, of_weights) == Preprocessing(
        SIZE, 0.875, "bilinear", (1, 2, 3), (4, 5, 6), "BGR", "letterbox"
    )
