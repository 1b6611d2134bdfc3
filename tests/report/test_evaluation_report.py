import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import ClassNames, Preprocessing
from keras_tricks.evaluation import Evaluation, LabeledImages
from keras_tricks.report import write_evaluation_report
from keras_tricks.report.evaluation_figures import most_confused, thumbnail

RNG = np.random.default_rng(0)


def evaluation(count=40, classes=7, names=None, accuracy=0.6, bad=()):
    """An evaluation with made-up probabilities."""
    labels = RNG.integers(0, classes, count)
    p = RNG.dirichlet(np.ones(classes) * 0.3, count)
    right = RNG.random(count) < accuracy
    for i in np.flatnonzero(right):
        best = p[i].argmax()
        p[i, [best, labels[i]]] = p[i, [labels[i], best]]
    order = np.argsort(-p, axis=-1, kind="stable")
    return Evaluation(
        indices=np.arange(count),
        labels=labels,
        top=order[:, :5],
        top_probabilities=np.take_along_axis(p, order[:, :5], -1),
        ranks=(order == labels[:, None]).argmax(-1),
        label_log_probabilities=np.log(p[np.arange(count), labels]),
        names=tuple(f"folder/image{i}.png" for i in range(count)),
        classes=None if names is None else ClassNames(names),
        num_classes=classes,
        bad=bad,
        seconds=2.0,
    )


def images_of(result, size=100):
    own = Preprocessing(size, 1.0)
    pixels = RNG.integers(0, 256, (len(result), size, size + 7, 3), "uint8")
    return LabeledImages(
        pixels, result.labels, result.names, own.transform, own.normalize
    )


def test_the_page_has_all_figures(read_page, tmp_path):
    names = [f"class <{i}>" for i in range(7)]
    result = evaluation(names=names, bad=("cut.png: damaged & cut",))
    images = images_of(result)
    path = write_evaluation_report(
        tmp_path / "e.html", result, images, {"model": "m.keras"}, "A title"
    )
    page = read_page(path)
    page.assert_self_contained()
    assert "A title" in page.text and "m.keras" in page.text
    top = result.accuracy()
    interval = f"{100 * top.low:.2f} to {100 * top.high:.2f}, 95 % interval"
    assert f"{100 * top.value:.2f} % {interval}" in page.text
    assert f"{100 * result.accuracy(5).value:.2f} %" in page.text
    assert f"{100 * result.calibration_error():.2f} %" in page.text
    assert f"{result.crossentropy:.4f}" in page.text
    assert "Images per second 20" in page.text
    assert "Unreadable images 1" in page.text
    assert "cut.png: damaged & cut" in page.text
    assert "class <3>" in page.text
    worst = result.per_class()[0]
    other = f"class <{worst.confused_with}> ({worst.confusions}×)"
    assert other in page.text
    reliability, confidence, confusion = page.pictures
    assert "accuracy" in reliability and "confidence" in confidence
    assert "taken for" in confusion
    assert len(page.photos) == min(24, len(result.mistakes()))


def test_the_worst_mistakes_are_shown(read_page, tmp_path):
    result = evaluation(count=100, accuracy=0.3)
    assert len(result.mistakes()) > 24
    images = images_of(result, size=32)
    page = read_page(
        write_evaluation_report(tmp_path / "e.html", result, images)
    )
    assert len(page.photos) == 24
    for photo, position in zip(page.photos, result.mistakes(), strict=False):
        shown = np.asarray(Image.open(io.BytesIO(photo)))
        own = images.transform(images.images[result.indices[position]])
        np.testing.assert_array_equal(shown, own)
        assert f"image{position}.png" in page.text
        share = f"taken for, {100 * result.confidences[position]:.1f} %"
        assert share in page.text


def test_of_ten_crops_the_central_one_is_shown(read_page, tmp_path):
    result = evaluation(accuracy=0)
    own = Preprocessing(16, 0.5)
    pixels = RNG.integers(0, 256, (len(result), 32, 32, 3), "uint8")
    images = LabeledImages(
        pixels, result.labels, result.names, own.ten_crops, own.normalize
    )
    page = read_page(
        write_evaluation_report(tmp_path / "e.html", result, images)
    )
    position = result.mistakes()[0]
    shown = np.asarray(Image.open(io.BytesIO(page.photos[0])))
    np.testing.assert_array_equal(shown, own.transform(pixels[position]))


@pytest.mark.parametrize(
    "options",
    [
        {"accuracy": 1.0},
        {"accuracy": 0.0},
        {"count": 1},
        {"classes": 2},
        {"classes": 300},
    ],
    ids=str,
)
def test_every_evaluation_makes_a_page(options, read_page, tmp_path):
    result = evaluation(**options)
    page = read_page(write_evaluation_report(tmp_path / "e.html", result))
    page.assert_self_contained()
    assert not page.photos
    assert ("Top-5" in page.text) == (result.num_classes > 5)
    assert ("top-5" in page.text) == (result.num_classes > 5)
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_matrix_has_no_row_without_images(read_page, tmp_path):
    names = [f"a_long_name_of_the_class_number_{i}" for i in range(30)]
    result = evaluation(count=99, classes=30, names=names, accuracy=0)
    result = dataclasses.replace(result, labels=result.labels % 3)
    page = read_page(write_evaluation_report(tmp_path / "e.html", result))
    *_, alt = [image["alt"] for tag, image in page.tags if tag == "img"]
    assert alt.startswith("Matrix of 3 labels and 20 classes: ")
    *_, matrix = page.pictures
    assert "a_long_name_of_the_class_nu…" in matrix
    assert "The 20 classes of the most frequent mistakes." in page.text


def test_long_names_can_be_broken(read_page, tmp_path):
    names = [f"<b>_class_{i}" for i in range(7)]
    result = evaluation(names=names, accuracy=0)
    page = read_page(
        write_evaluation_report(tmp_path / "e.html", result, images_of(result))
    )
    assert "&lt;b&gt;_<wbr>class_<wbr>" in page.source
    assert "<b>_class" not in page.source


def test_the_most_confused_classes():
    confusions = np.diag(np.full(30, 10))
    confusions[3, 17] = 5
    confusions[20, 4] = 2
    confusions[8, 9] = 2
    confusions[20, 20] = 0
    assert most_confused(confusions, 2).tolist() == [3, 17]
    # Two of two are more than two of twelve.
    assert most_confused(confusions, 4).tolist() == [3, 4, 17, 20]
    assert len(most_confused(confusions, 20)) == 6
    assert most_confused(confusions, 30).tolist() == list(range(30))
    assert not len(most_confused(np.diag(np.ones(30))))


@pytest.mark.parametrize(
    "shape, size",
    [((300, 300, 3), 192), ((64, 64, 1), 64), ((9, 9, 4), 9)],
)
def test_thumbnails(shape, size):
    view = RNG.integers(0, 256, shape, "uint8")
    kind, _, code = thumbnail(view).partition(",")
    assert kind == f"data:image/{'png' if size < 100 else 'jpeg'};base64"

    image = Image.open(io.BytesIO(base64.b64decode(code)))
    assert image.size == (size, size)
