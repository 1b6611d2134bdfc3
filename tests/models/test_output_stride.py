"""Networks that keep their resolution, against those that stride."""

import keras
import numpy as np
import pytest

from keras_tricks.models import MobileNet, ResNet

pytestmark = pytest.mark.usefixtures("numpy_kernels")


def resnet(depth, variant):
    return lambda **options: ResNet(
        depth, variant, width=4, zero_gamma=False, **options
    )


def mobilenet(**options):
    return MobileNet(width_multiplier=0.125, **options)


def levels(model, x):
    return keras.Model(model.input, model.pyramid).predict_on_batch(x)


@pytest.mark.parametrize(
    ("network", "output_stride", "small_images"),
    [
        pytest.param(resnet(18, "A"), 8, True, id="resnet18_a-8-small"),
        pytest.param(resnet(18, "D"), 16, False, id="resnet18_d-16"),
        pytest.param(resnet(50, "A"), 8, False, id="resnet50_a-8"),
        pytest.param(resnet(50, "D"), 8, False, id="resnet50_d-8"),
        pytest.param(mobilenet, 8, False, id="mobilenet-8"),
        pytest.param(mobilenet, 16, True, id="mobilenet-16-small"),
    ],
)
def test_every_second_and_fourth_pixel(network, output_stride, small_images):
    # Halved again and again, each size is odd at times and even at others.
    size = (19, 24) if small_images else (75, 94)
    options = {
        "num_classes": 5,
        "input_shape": (*size, 3),
        "small_images": small_images,
    }
    strided = network(**options)
    rng = np.random.default_rng(0)
    for weight in strided.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    kept = network(output_stride=output_stride, **options)
    kept.set_weights(strided.get_weights())
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    expected, actual = levels(strided, x), levels(kept, x)
    stride = 4
    for level in ("P2", "P3", "P4", "P5"):
        every = max(1, stride // output_stride)
        assert expected[level].shape[1] == -(-75 // stride)
        assert actual[level].shape[1] == -(-75 * every // stride)
        np.testing.assert_allclose(
            actual[level][:, ::every, ::every],
            expected[level],
            atol=1e-4 * np.abs(expected[level]).max(),
        )
        stride *= 2
