"""On torch, images are in channels-last memory from the first convolution."""

import keras
import numpy as np
import pytest

from keras_tricks.layers import BottleneckBlock
from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="memory formats of torch"
)


def images():
    rng = np.random.default_rng(0)
    return rng.standard_normal((1, 3, 32, 32)).astype("float32")


def network(**options):
    return ResNet(
        50,
        "D",
        num_classes=4,
        width=8,
        input_shape=(3, 32, 32),
        data_format="channels_first",
        **options,
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_no_activation_changes_its_memory(policy, monkeypatch):
    model = network(dtype=policy)
    formats = []
    convolve = torch.nn.functional.conv2d

    def noted(x, *args):
        formats.append(x.is_contiguous(memory_format=torch.channels_last))
        return convolve(x, *args)

    monkeypatch.setattr(torch.nn.functional, "conv2d", noted)
    model(images(), training=True)
    # Only the first may have got them as they came from the host.
    assert len(formats) > 50
    assert all(formats[1:])


def test_kernels_gradients_and_momentum_have_one_order():
    block = BottleneckBlock(4, data_format="channels_first")
    x = torch.ones(2, 16, 6, 6)
    optimizer = SGD(0.1, momentum=0.9, weight_decay=1e-4)
    loss = block(x, training=True).square().sum()
    optimizer.build(block.trainable_variables)
    values = [v.value for v in block.trainable_variables]
    gradients = torch.autograd.grad(loss, values)
    kernels = 0
    for value, gradient, momentum in zip(
        values, gradients, optimizer.momentums, strict=True
    ):
        assert momentum.value.stride() == value.stride()
        if value.ndim == 4:
            kernels += 1
            kernel = value.permute(3, 2, 0, 1)
            assert kernel.is_contiguous(memory_format=torch.channels_last)
            assert gradient.stride() == value.stride()
    assert kernels == 3


def test_weights_survive_saving(tmp_path):
    model = network()
    x = images()
    expected = model(x).detach().numpy()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(x).detach().numpy(), expected, 1e-6, 1e-6)
    strides = [
        [v.value.stride() for v in m.trainable_variables]
        for m in (model, again)
    ]
    assert strides[0] == strides[1]
