"""Real weights of ImageNet classify real images, where both are at hand."""

import csv
import tarfile
from pathlib import Path

import numpy as np
import pytest

from keras_tricks.models import MobileNet, ResNet, load_weights_from

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs ../shared/data: weights and images"
)


@pytest.fixture(scope="module")
def images():
    """Returns a number of images, taken evenly, and their classes."""
    image = pytest.importorskip("PIL.Image", reason="it decodes JPEG")
    sample = DATA / "imagenet_sample"
    with open(sample / "classes.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    classes = {row["wnid"]: int(row["index"]) for row in rows}

    def read(count):
        with tarfile.open(sample / "imagenet_sample_512.tar") as archive:
            files = [member for member in archive if member.isfile()]
            files = files[:: len(files) // count][:count]
            pixels = [
                np.asarray(image.open(archive.extractfile(f)).convert("RGB"))
                for f in files
            ]
        names = [Path(file.name).name.split("_")[0] for file in files]
        return pixels, np.array([classes[name] for name in names])

    return read


def test_resnet50(images):
    model = ResNet(50, "A")
    report = load_weights_from(model, DATA / "weights/resnet50_imagenet.npz")
    assert (report.tensors, report.values) == (320, 25_610_152)
    assert (report.folded_biases, report.converted) == (53, ("float16",))
    pixels, labels = images(8)
    x = np.stack([report.preprocessing(image) for image in pixels])
    right = model.predict_on_batch(x).argmax(-1) == labels
    # Of all 1000 images it is 90 %.
    assert right.mean() > 0.7


def test_mobilenet(images):
    model = MobileNet(width_multiplier=0.25, activation="relu6", padding="end")
    report = load_weights_from(
        model, DATA / "weights/mobilenet_v1_025_224_imagenet_bnfolded.npz"
    )
    assert (report.tensors, report.folded_norms) == (56, 27)
    pixels, labels = images(50)
    x = np.stack([report.preprocessing(image) for image in pixels])
    right = model.predict_on_batch(x).argmax(-1) == labels
    # Of all 1000 images it is 55 %, and 35 % with padding="same".
    assert right.mean() > 0.45
