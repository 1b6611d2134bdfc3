import os

import pytest

from keras_tricks.report import comparison_table, write_comparison_report

NASTY = r"_<i>& $\frac$ |"


def make_curves(make_run, name, seed, end, **recipe):
    columns = {
        "val_accuracy": [0.2, 0.5, end],
        "val_loss": [50.0, 2.0, 1 - end],
        "val_crossentropy": [3.0, 2.0, 1.0],
    }
    recipe = {"seed": seed, **recipe}
    return make_run(f"{name}-{seed}", columns, recipe=recipe)


@pytest.fixture
def runs(make_run):
    return {
        "base": [
            make_curves(make_run, "a", s, 0.8 + s / 100, trick=False, lr=0.1)
            for s in range(3)
        ],
        "trick": [
            make_curves(make_run, "b", s, 0.84 + s / 90, trick=True, lr=0.1)
            for s in range(3)
        ],
    }


def test_says_what_the_table_says(runs, tmp_path, read_page):
    path = write_comparison_report(tmp_path / "all.html", runs, title="Mine")
    assert path == tmp_path / "all.html"
    read_page(path).assert_self_contained()
    # The dots, and the bands of accuracy, cross-entropy and loss.
    assert len(read_page(path).pictures) == 4
    text = read_page(path).text
    table = comparison_table(runs).splitlines()
    assert table[-1] in text
    for line in table[1:3]:
        assert " ".join(line.split()) in text
    for part in (
        "Mine 2 configurations, 6 runs",
        "Validation accuracy after the last epoch",
        "paired by seed; intervals",
        "setting base trick trick off on The runs",
    ):
        assert part in text
    assert "Not at equal epochs" not in text
    assert " lr " not in text
    for folders in runs.values():
        assert all(str(folder) in text for folder in folders)


def test_another_metric_and_one_configuration(runs, tmp_path, read_page):
    path = write_comparison_report(
        tmp_path / "all.html", {"base": runs["base"][:1]}, metric="val_loss"
    )
    text = read_page(path).text
    assert "1 configuration, 1 run One configuration: nothing to" in text
    assert "Validation loss after the last epoch" in text
    assert "0.2000" in text
    assert len(read_page(path).pictures) == 4


def test_warns_of_what_makes_a_comparison_unfair(
    runs, make_run, tmp_path, read_page
):
    short = make_run("s", {"val_accuracy": [0.9]}, recipe={"seed": 0})
    other = make_run(
        "o", {"val_accuracy": [0.9, 0.9]}, recipe={"trick": True, "lr": 0.5}
    )
    base = {"base": runs["base"]}
    path = tmp_path / "all.html"

    def text(**more):
        return read_page(write_comparison_report(path, {**base, **more})).text

    assert "Not at equal epochs: the runs differ in length." in text(a=short)
    assert "only over those it shares with the first" in text(a=short)
    many = text(a=runs["trick"], b=short)
    assert "With 2 comparisons, one interval in twenty" in many
    mixed = text(a=[*runs["trick"][:2], other])
    assert "or by position where the seeds are unknown" in mixed
    assert "lr 0.1 0.1 / 0.5" in mixed


def test_nasty_names(runs, tmp_path, read_page):
    runs = {NASTY: runs["base"], "<script>": runs["trick"]}
    path = write_comparison_report(tmp_path / "all.html", runs, title=NASTY)
    read_page(path).assert_self_contained()
    assert "<i>&" not in path.read_text("utf-8")
    text = read_page(path).text
    assert text.count(NASTY) >= 8
    # matplotlib leaves what it draws as text in a comment.
    comment = r"_&lt;i&gt;&amp; $\frac$ | -->"
    assert all(comment in picture for picture in read_page(path).pictures)


def test_missing_numbers_leave_gaps(make_run, tmp_path, read_page):
    nan = float("nan")
    columns = {"val_accuracy": [nan, 0.5], "val_loss": [nan, nan]}
    runs = {
        name: [make_run(f"{name}{s}", columns) for s in range(2)]
        for name in "ab"
    }
    path = write_comparison_report(tmp_path / "all.html", runs)
    assert len(read_page(path).pictures) == 2
    assert " nan" not in read_page(path).text


def test_many_configurations(make_run, tmp_path, read_page):
    runs = {
        f"configuration {i}": [make_curves(make_run, str(i), 0, 0.5 + i / 20)]
        for i in range(10)
    }
    path = write_comparison_report(tmp_path / "all.html", runs)
    assert len(read_page(path).pictures) == 4
    assert read_page(path).text.count("that shows nothing") == 9


def test_an_old_report_stays_if_writing_fails(runs, tmp_path, monkeypatch):
    path = tmp_path / "all.html"
    path.write_text("old")
    names = sorted(os.listdir(tmp_path))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_comparison_report(path, runs)
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == names


def test_missing_folder(runs, tmp_path):
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        write_comparison_report(tmp_path / "no" / "all.html", runs)
