import numpy as np

from keras_tricks.data import ClassNames
from keras_tricks.evaluation import MultiLabelEvaluation
from keras_tricks.report import write_multi_label_report


def evaluation(classes, empty=()):
    rng = np.random.default_rng(0)
    labels = (rng.random((60, classes)) < 0.3).astype("uint8")
    labels[0] = 1
    labels[:, list(empty)] = 0
    easy = np.linspace(0.2, 2.5, classes)  # The last class is found best.
    noise = 0.6 * rng.random(labels.shape)
    return MultiLabelEvaluation(
        indices=np.arange(60),
        labels=labels,
        probabilities=np.clip(0.25 * labels * easy + noise, 0, 1),
        names=tuple(f"{i}.png" for i in range(60)),
        classes=None,
        num_classes=classes,
        bad={"60.png": "no image"},
        seconds=1.0,
    )


def test_the_worst_classes_come_first(tmp_path, read_page):
    found = evaluation(4, empty=[1])
    page = read_page(write_multi_label_report(tmp_path / "page.html", found))
    text = page.text
    assert f"{100 * found.mean_average_precision:.2f} %" in text
    assert "Without an image, and in no mean: 1" in text
    assert "Unreadable images" in text and "60.png" in text
    precisions = {r.index: r.average_precision for r in found.per_class()}
    assert precisions[0] < precisions[2] < precisions[3]
    rows = text[text.index("The worst first") :]
    shares = [f"{100 * precisions[i]:.1f} %" for i in (0, 2, 3)]
    places = [rows.index(share) for share in shares]
    assert places == sorted(places)


def test_of_many_classes_some_curves_are_drawn(tmp_path, read_page):
    path = write_multi_label_report(tmp_path / "page.html", evaluation(12))
    text = read_page(path).text
    assert "The 3 worst classes and the 3 best." in text
    assert "Without an image" not in text


def test_the_page_shows_them(read_page, tmp_path):
    many, rng = 9, np.random.default_rng(0)
    labels = rng.random((50, many)) < 0.4
    labels[:, 8] = False
    p = rng.random((50, many)).round(2)
    result = MultiLabelEvaluation(
        indices=np.arange(50),
        labels=labels.astype("uint8"),
        probabilities=p,
        names=("a.png",) * 50,
        classes=ClassNames(tuple(f"<{i}>" for i in range(many))),
        num_classes=many,
        bad=("cut.png: cut & off",),
    )
    path = write_multi_label_report(
        tmp_path / "e.html", result, {"model": "m.keras"}, "A title"
    )
    page = read_page(path)
    page.assert_self_contained()
    for value in (
        result.mean_average_precision,
        result.micro_average_precision,
        result.macro_f1,
        result.micro_f1,
    ):
        assert f"{100 * value:.2f} %" in page.text
    for text in ("A title", "m.keras", "cut.png: cut & off", "1: <8>"):
        assert text in page.text
    curves, bars = page.pictures
    assert "recall" in curves and "average precision" in bars
    worst = result.per_class()[0]
    assert f"{100 * worst.average_precision:.1f} %" in page.text
