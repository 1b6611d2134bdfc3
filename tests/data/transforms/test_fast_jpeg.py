"""What simplejpeg decodes is what Pillow decodes."""

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import ArrayRecords, TrainTransform
from keras_tricks.data.pipeline.sample_loader import SampleLoader
from keras_tricks.data.transforms import decode_image, fast_jpeg

KINDS = {
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:2:0": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True},
    "poor": {"quality": 5},
    "restarts": {"restart_marker_rows": 1},
}


def photo(height=61, width=47):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (7, 6, 3), dtype="uint8")
    return Image.fromarray(small).resize((width, height))


def jpeg(mode="RGB", **options):
    file = io.BytesIO()
    photo().convert(mode).save(file, "jpeg", **options)
    return file.getvalue()


@pytest.fixture(autouse=True)
def fresh():
    fast_jpeg._simplejpeg.cache_clear()
    yield
    fast_jpeg._simplejpeg.cache_clear()


@pytest.fixture
def pretended(monkeypatch):
    """A simplejpeg that says it was asked: Pillow, with the colors turned."""
    module = types.ModuleType("simplejpeg")
    module.asked = []

    def decode(data, colorspace):
        assert colorspace == "RGB"
        module.asked.append(data)
        return decode_image(data)[..., ::-1]

    module.decode_jpeg = decode
    monkeypatch.setitem(sys.modules, "simplejpeg", module)
    return module


class Files:
    labels, class_names = np.zeros(1, "int32"), ("a",)

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return 1

    def record(self, index):
        return self.data, 0

    def name(self, index):
        return "a.jpg"


def load(data):
    transform = TrainTransform(16, jitter=0, lighting=0, resizer="pillow")
    return SampleLoader(Files(data), transform).load(0, 0)[0]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_pixels_are_those_of_pillow(mode, kind):
    pytest.importorskip("simplejpeg")
    data = jpeg(mode, **KINDS[kind])
    pixels = fast_jpeg.decode_plain_jpeg(data)
    np.testing.assert_array_equal(pixels, decode_image(data))


def test_a_loader_takes_what_it_decodes(pretended):
    data = jpeg()
    assert (load(data) != load_with_pillow(data)).any()
    assert pretended.asked == [data]


def load_with_pillow(data):
    pixels = decode_image(data)[None]
    transform = TrainTransform(16, jitter=0, lighting=0, resizer="pillow")
    records = ArrayRecords(pixels, np.zeros(1, "int32"), ("a",))
    return SampleLoader(records, transform).load(0, 0)[0]


def test_what_is_not_plain_or_refused_is_left_to_pillow(pretended):
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (jpeg("CMYK"), jpeg(exif=exif)):
        np.testing.assert_array_equal(load(data), load_with_pillow(data))
    assert not pretended.asked

    def refuse(data, colorspace):
        raise ValueError("no")

    pretended.decode_jpeg = refuse
    np.testing.assert_array_equal(load(jpeg()), load_with_pillow(jpeg()))
    with pytest.raises(ValueError, match=r"^a\.jpg: "):
        load(jpeg()[:-300])


def test_without_it_pillow_decodes(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert fast_jpeg.decode_plain_jpeg(jpeg()) is None
    np.testing.assert_array_equal(load(jpeg()), load_with_pillow(jpeg()))
