"""Runs that start from weights: what they load, and how they see images."""

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, evaluation, training
from keras_tricks.data import Preprocessing
from keras_tricks.models import MobileNet
from keras_tricks.models._constructors import CONSTRUCTORS
from keras_tricks.training.input import build_batches
from keras_tricks.training.teacher import adapt_to

WIDTH = 4
CAFFE = Preprocessing(
    mean=(103.0, 116.0, 123.0), std=(1.0, 2.0, 3.0), channels="BGR"
)


def mobilenet(classes=5, size=32):
    model = MobileNet(
        classes,
        width_multiplier=WIDTH / 64,
        small_images=True,
        input_shape=(size, size, 3),
        data_format="channels_last",
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 0.6, weight.shape).astype("float32"))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pretrained model, and images to fine-tune it on."""
    path = tmp_path_factory.mktemp("fine_tuning")
    model = mobilenet()
    model.preprocessing = CAFFE
    model.save(path / "pretrained.keras")
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 8, 8, 3)).astype("uint8")
    y = np.arange(12) % 3
    np.savez(
        path / "images.npz",
        x_train=images,
        y_train=y,
        x_test=images[:6],
        y_test=y[:6],
    )
    return path


def recipe_of(folder, **changes):
    fields = {
        "data_dir": str(folder / "images.npz"),
        "model": "mobilenet",
        "width": WIDTH,
        "weights": str(folder / "pretrained.keras"),
        "skip_head": True,
        "batch_size": 4,
        "epochs": 1,
        "warmup_epochs": 0,
        "augmentation": "none",
        "mixup_alpha": 0.0,
        "data_format": "channels_last",
    }
    return Recipe(**{**fields, **changes})


def numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def reference(images):
    """The normalization of the pretrained weights, in float64."""
    x = images[..., ::-1].astype("float64")
    return (x - np.array(CAFFE.mean)) / np.array(CAFFE.std)


def test_a_run_starts_from_weights(folder, tmp_path):
    run = training.prepare(recipe_of(folder), tmp_path / "run")
    pretrained = keras.saving.load_model(folder / "pretrained.keras")
    for ours, theirs in zip(
        run.model.weights[:-2], pretrained.weights[:-2], strict=True
    ):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    assert run.model.output_shape == (None, 3)
    assert "loaded 135 tensors" in run.explanation
    assert "kept logits/kernel, logits/bias" in run.explanation
    assert "no residual branch to start silent" in run.explanation
    # As the weights were trained, not with the statistics of the images.
    for batches in (run.train_batches, run.validation_batches):
        x, images = batches[0][0], batches.images[batches.indices(0, 0)]
        np.testing.assert_allclose(x, reference(images), atol=1e-4)


def test_evaluation_sees_images_as_the_run_did(folder, tmp_path):
    training.train(recipe_of(folder), tmp_path / "run", verbose=0)
    classifier = evaluation.load_classifier(tmp_path / "run")
    known = classifier.preprocessing
    assert (known.image_size, known.crop_ratio) == (8, 1.0)
    assert (known.mean, known.std) == (CAFFE.mean, CAFFE.std)
    assert classifier.classes.names == ("0", "1", "2")
    images = evaluation.load_images(classifier)
    x, _ = next(iter(images.batches(6)))
    np.testing.assert_allclose(x[:, 0], reference(images.images), atol=1e-4)


def test_predictions_need_no_data_set(folder, tmp_path):
    recipe = recipe_of(folder, test_samples=3)
    training.train(recipe, tmp_path / "run", verbose=0)
    moved = recipe.replace(data_dir="not/there")
    (tmp_path / "run" / "recipe.json").write_text(moved.to_json())
    classifier = evaluation.load_classifier(tmp_path / "run")
    assert classifier.class_name(2) == "2"
    assert classifier.preprocessing.image_size == 8


def test_without_weights_the_statistics_of_the_images_are_kept(
    folder, tmp_path
):
    recipe = recipe_of(folder, weights=None, skip_head=False)
    run = training.prepare(recipe, tmp_path / "run")
    own = run.data.preprocessing
    assert run.model.preprocessing == own
    np.testing.assert_array_equal(
        run.validation_batches[0][0], own.normalize(run.data.x_test[:4])
    )


def test_other_classes_are_refused_without_being_asked(folder, tmp_path):
    recipe = recipe_of(folder, skip_head=False)
    with pytest.raises(ValueError, match="5 classes in .*, 3 in the model"):
        training.prepare(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_pretrained_teacher_gets_images_in_its_units(
    folder, tmp_path, monkeypatch
):
    tiny = lambda **options: MobileNet(  # noqa: E731
        width_multiplier=WIDTH / 64, data_format="channels_last", **options
    )
    monkeypatch.setitem(CONSTRUCTORS, "MobileNet", tiny)
    model = mobilenet(classes=3)
    model.preprocessing = CAFFE
    model.save(tmp_path / "teacher.keras")
    recipe = recipe_of(
        folder,
        weights=None,
        skip_head=False,
        teacher="MobileNet",
        teacher_weights=str(tmp_path / "teacher.keras"),
    )
    data = training.load_data(recipe)
    student = mobilenet(classes=3, size=8)
    student.preprocessing = data.preprocessing
    distiller = training.build_distiller(
        recipe, student, data.image_shape, "channels_last"
    )
    x = build_batches(recipe, data)[1][0][0]
    (adapt,) = distiller._teachers.adapts
    np.testing.assert_allclose(
        numpy(adapt(x)), reference(data.x_test[:4]), atol=1e-3
    )
    (teacher,) = distiller._teachers.models
    for ours, theirs in zip(teacher.weights, model.weights, strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


def test_equal_units_need_no_change():
    model = mobilenet(size=8)
    shape = (8, 8, 3)
    assert adapt_to(model, shape, "channels_last", CAFFE) is None
    model.preprocessing = CAFFE
    assert adapt_to(model, shape, "channels_last") is None
    assert adapt_to(model, shape, "channels_last", CAFFE) is None
    adapt = adapt_to(model, shape, "channels_last", Preprocessing())
    assert (adapt.student_std, adapt.teacher_mean, adapt.reverse_channels) == (
        Preprocessing().std,
        CAFFE.mean,
        True,
    )
