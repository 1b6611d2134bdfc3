"""The resize of crops, against Pillow's and against triangles in float64."""

import numpy as np
import pytest
from PIL import Image

from keras_tricks._image_size import sides_of
from keras_tricks.data.transforms.resize import resize

from ..damaged_images import photo


def kernels():
    try:
        import torch
    except ImportError:
        return ["pillow"]
    vectors = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return ["pillow", "torch", "auto"] if vectors else ["pillow", "auto"]


def triangles(image, size):
    """Antialiased bilinear in float64, one axis after the other."""
    for axis, side in enumerate(size):
        length = image.shape[axis]
        scale = length / side
        width = max(scale, 1.0)
        centers = (np.arange(side) + 0.5) * scale
        places = np.arange(length) + 0.5
        weights = 1 - np.abs(places - centers[:, None]) / width
        weights = np.maximum(weights, 0)
        weights /= weights.sum(1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image


@pytest.mark.parametrize("resizer", kernels())
@pytest.mark.parametrize("shape", [(40, 60), (17, 90), (8, 8), (1, 5)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [24, (24, 13)])
def test_each_kernel_against_float64(resizer, shape, flip, size):
    image = photo(3, *shape)
    found = resize(image, size, "bilinear", resizer, flip)
    size = sides_of(size)
    expected = triangles(image.astype("float64"), size)
    if flip:
        expected = expected[:, ::-1]
    assert found.shape == (*size, 3) and found.dtype == np.uint8
    # Rounded after each axis.
    assert np.abs(found - expected).max() <= 1.01
    assert np.abs(found - expected).mean() < 0.4


@pytest.mark.parametrize("resizer", kernels())
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_arrays_and_images_of_pillow_against_pillow(resizer, interpolation):
    if resizer == "torch" and interpolation == "lanczos":
        pytest.skip("torch has no such filter")
    image = photo(4, 70, 50)
    filter_ = Image.Resampling[interpolation.upper()]
    expected = np.asarray(Image.fromarray(image).resize((32, 20), filter_))
    for part in (image, Image.fromarray(image)):
        found = resize(part, (20, 32), interpolation, resizer).astype(int)
        # Both axes are rounded, and a bicubic weight may be negative.
        most = 2 if interpolation == "bicubic" else 1
        assert np.abs(found - expected).max() <= most
        assert (found != expected).mean() < 0.2


@pytest.mark.parametrize("resizer", kernels())
def test_gray_keeps_its_channel(resizer):
    image = photo(5)[..., :1]
    assert resize(image, 16, "bilinear", resizer).shape == (16, 16, 1)


def test_mistakes():
    with pytest.raises(ValueError, match="`resizer` must be one of"):
        resize(photo(0), 16, "bilinear", "opencv")
    with pytest.raises(ValueError, match="`interpolation` must be one of"):
        resize(photo(0), 16, "lanczos", "torch")
