"""Presets of KerasHub itself, where it is installed; no downloads."""

import numpy as np
import pytest

from keras_tricks import Recipe, evaluation, training
from keras_tricks.networks import build_network

keras_hub = pytest.importorskip("keras_hub")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def resnet():
    models, hub_layers = keras_hub.models, keras_hub.layers
    return models.ResNetImageClassifier(
        backbone=models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 64],
            stackwise_num_blocks=[1, 1],
            stackwise_num_strides=[1, 2],
            block_type="basic_block",
            use_pre_activation=False,
            image_shape=(None, None, 3),
        ),
        preprocessor=models.ResNetImageClassifierPreprocessor(
            hub_layers.ResNetImageConverter(
                image_size=(32, 32),
                scale=(1 / 255 / STD).tolist(),
                offset=(-MEAN / STD).tolist(),
            )
        ),
        num_classes=7,
        activation="softmax",
    )


def densenet():
    models, hub_layers = keras_hub.models, keras_hub.layers
    return models.DenseNetImageClassifier(
        backbone=models.DenseNetBackbone(
            stackwise_num_repeats=[2, 2],
            compression_ratio=0.5,
            growth_rate=4,
            image_shape=(32, 32, 3),
        ),
        preprocessor=models.DenseNetImageClassifierPreprocessor(
            hub_layers.DenseNetImageConverter(
                image_size=(32, 32), scale=1 / 255
            )
        ),
        num_classes=7,
    )


EXPECTED = {
    "resnet": (resnet, 255 * MEAN, 255 * STD),
    "densenet": (densenet, np.zeros(3), np.full(3, 255.0)),
}


@pytest.fixture(params=EXPECTED)
def preset(request, tmp_path):
    """The folder of a preset, and the mean and deviation of its images."""
    make, mean, std = EXPECTED[request.param]
    make().save_to_preset(str(tmp_path / "preset"))
    return f"hub/{tmp_path / 'preset'}", mean, std


def test_images_and_head_are_those_of_the_preset(preset):
    name, mean, std = preset
    model = build_network(name, (32, 32, 3), 5)
    assert model.output_shape == (None, 5)
    np.testing.assert_allclose(model.preprocessing.mean, mean, atol=1e-3)
    np.testing.assert_allclose(model.preprocessing.std, std, rtol=1e-5)
    assert model.network_report.fresh_head


def test_it_trains_and_is_evaluated(preset, tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    x = rng.integers(0, 60, (24, 32, 32, 3))
    x[np.arange(24), :, :, y] += 150
    x = x.astype("uint8")
    arrays = {"x_train": x, "y_train": y, "x_test": x[:12], "y_test": y[:12]}
    np.savez(tmp_path / "images.npz", **arrays)
    recipe = Recipe(
        model=preset[0],
        data_dir=str(tmp_path / "images.npz"),
        batch_size=8,
        epochs=2,
        warmup_epochs=0,
        augmentation="none",
    )
    result = training.train(recipe, tmp_path / "run", verbose=0)
    classifier = evaluation.load_classifier(tmp_path / "run")
    images = evaluation.load_images(classifier)
    found = evaluation.evaluate(classifier, images, verbose=False)
    assert found.accuracy(1).value == pytest.approx(result["val_accuracy"])
