import io

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import (
    ArrayRecords,
    ImageSet,
    Preprocessing,
    inspect_images,
    open_images,
)
from keras_tricks.report import write_data_report
from keras_tricks.report.data_report import verdicts

from ..data.damaged_images import damaged_folder, encode, photo


def arrays(count=12, classes=3, seed=0, labels=None):
    x = np.stack([photo(seed + i, 40, 50) for i in range(count)])
    labels = np.arange(count) % classes if labels is None else labels
    names = tuple(f"class <{i}>" for i in range(classes))
    return ArrayRecords(x, np.asarray(labels), names)


def test_the_page_shows_all_that_was_found(read_page, tmp_path):
    damaged_folder(tmp_path / "data")
    images = open_images(data_dir=tmp_path / "data")
    report = inspect_images(images)
    path = write_data_report(
        tmp_path / "r.html", report, images, {"source": "a & b"}, "A title"
    )
    page = read_page(path)
    page.assert_self_contained()
    assert "A title" in page.text and "a & b" in page.text
    assert "80 train, 12 test records · 2 classes" in page.text
    for record in report.bad:
        assert record.name in page.text.replace("_ ", "_")
        assert record.reason in page.text
    for kind, count in report.odd_counts().items():
        assert f"{kind} {count} " in page.text
    assert "And 5 more groups" in page.text
    assert len(page.pictures) == 3
    # Twelve groups of two, each odd kind once to thrice, six of each class.
    odd = sum(min(count, 3) for count in report.odd_counts().values())
    assert len(page.photos) == 24 + odd + 12
    for code in page.photos:
        width, height = Image.open(io.BytesIO(code)).size
        assert max(width, height) <= 192
        assert max(width, height) <= 5 * min(width, height)


def test_duplicates_show_their_labels(read_page, tmp_path):
    images = ImageSet(
        arrays(),
        arrays(3, labels=[0, 1, 1]),
        Preprocessing(8),
    )
    report = inspect_images(images)
    page = read_page(write_data_report(tmp_path / "r.html", report, images))
    first = page.text.index("The same pixels, in both splits, under several")
    shown = page.text[first:].split("The same pixels, in both splits")[1]
    assert "class <1> image[2] class <2> image[2]" in shown
    assert page.text.count("The same pixels, in both splits") == 3
    assert verdicts(report) == [
        "Every record can be used.",
        "1 class without a usable test image: class <2>.",
        "3 test images are the same as a training image: the accuracy on "
        "them says nothing.",
        "1 image is there under two labels or more: one of them is wrong.",
    ]


def test_images_that_turn_black_are_named():
    """A microscope's 12 bits in a file of 16."""

    class Deep(ArrayRecords):
        def record(self, index):
            gray = self.images[index][..., 0].astype("uint16") * 16
            return encode(Image.fromarray(gray), "png"), index % 3

    records = arrays(3)
    deep = Deep(records.images, records.labels, records.class_names, "cell")
    found = verdicts(inspect_images({"train": records, "test": deep}))
    assert found[1] == (
        "3 images of 16 bits, such as cell[0], are nearly black, since white "
        "is 65535: write values of 12 bits, say, as value * 255 / 4095 in 8 "
        "bits."
    )


def test_what_matters_most_comes_first(read_page, tmp_path):
    x = np.stack([photo(i, 40, 50) for i in (0, 0, 1, 1, 2, 3)])
    names = ("a", "b")
    train = ArrayRecords(x, np.array([0, 0, 0, 1, 1, 0]), names)
    test = ArrayRecords(x[4:5], np.array([1]), names)
    splits = {"train": train, "test": test}
    report = inspect_images(splits)
    page = read_page(write_data_report(tmp_path / "r.html", report, splits))
    places = [
        page.text.index(f"{title} {label} image")
        for title, label in (
            ("The same pixels, under several labels", "a"),
            ("The same pixels, in both splits", "b"),
            ("The same pixels", "a"),
        )
    ]
    assert places == sorted(places)


def test_many_classes_are_drawn_as_a_curve(read_page, tmp_path):
    labels = np.arange(60)
    x = np.stack([photo(i, 33, 33) for i in range(60)])
    names = tuple(f"c{i}" for i in range(60))
    records = ArrayRecords(x, labels, names)
    more = ArrayRecords(
        np.concatenate([x, x[:1].repeat(20, 0)]),
        np.concatenate([labels, np.zeros(20, int)]),
        names,
    )
    report = inspect_images({"train": more, "test": records})
    page = read_page(write_data_report(tmp_path / "r.html", report))
    assert not page.photos and "more groups" not in page.text
    assert "the smallest classes" in page.text
    assert "c1 1 1" in page.text and "c59" not in page.text
    assert "The classes are unequal: the largest has 21" in page.text


@pytest.mark.parametrize("images", [True, False])
def test_no_image_can_be_used(read_page, tmp_path, images):
    records = ArrayRecords(
        np.zeros((2, 40, 40, 3), "float32"), np.array([0, 1]), ("a", "b")
    )
    splits = {"train": records}
    report = inspect_images(splits)
    page = read_page(
        write_data_report(
            tmp_path / "r.html", report, splits if images else None
        )
    )
    assert "2 of 2 train records cannot be used" in page.text
    assert not page.photos and len(page.pictures) == 1
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        write_data_report(tmp_path / "no" / "r.html", report)
