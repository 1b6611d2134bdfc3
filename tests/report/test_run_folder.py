import math

import pytest

from keras_tricks.report import Run, read_run


def test_reads_everything(make_run):
    folder = make_run(
        "run",
        {"loss": [2.0, 1.5], "val_accuracy": [0.5, 0.75]},
        recipe={"seed": 3},
        result={"parameters": 10},
        explain="peak 0.1 ▁▂▃",
    )
    run = read_run(folder)
    assert isinstance(run, Run)
    assert run.epochs == 2
    assert run.history["loss"] == [2.0, 1.5]
    assert run.last("val_accuracy") == 0.75
    assert run.recipe == {"seed": 3}
    assert run.result == {"parameters": 10}
    assert run.explain == "peak 0.1 ▁▂▃"


def test_only_the_history_is_needed(make_run):
    run = read_run(str(make_run("run", {"loss": [2.0]})))
    assert (run.recipe, run.result, run.explain) == ({}, {}, "")
    assert run.epochs == 1


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="`folder` must be .*'nowhere'") as e:
        read_run("nowhere")
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="no such file"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "at least one epoch"),
        ("epoch,loss\n", "at least one epoch"),
        ("loss\n1.0\n", "column epoch"),
        ("epoch,loss\n0,high\n", "could not convert"),
        ("epoch,loss\n0,1.0,2.0\n", "readable history.csv"),
        ('epoch,loss\n0,"1.0\n', "readable history.csv"),
        ("epoch,loss\n0,\udcff\n", "UnicodeDecodeError"),
    ],
)
def test_unreadable_history(tmp_path, text, message):
    data = text.encode("utf-8", "surrogateescape")
    (tmp_path / "history.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_run(tmp_path)
    assert str(error.value).endswith(f"Received: folder={str(tmp_path)!r}")


@pytest.mark.parametrize("name", ["recipe.json", "result.json"])
@pytest.mark.parametrize("text", ['{"seed": 1', "[1, 2]", "\x00"])
def test_corrupt_json(make_run, name, text):
    folder = make_run("run", {"loss": [1.0]})
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=f"`folder` must hold a .*{name}"):
        read_run(folder)


def test_epoch_written_twice_counts_once(tmp_path):
    (tmp_path / "history.csv").write_text(
        "epoch,loss\n0,3.0\n1,2.0\n2,1.9\n1,1.5\n2,1.0\n"
    )
    run = read_run(tmp_path)
    assert run.history == {"epoch": [0, 1, 2], "loss": [3.0, 1.5, 1.0]}


def test_missing_cells_are_nan(tmp_path):
    (tmp_path / "history.csv").write_text(
        "epoch,loss,speed\n0,nan,\n1,2.0,NA\n2,1.0\n"
    )
    run = read_run(tmp_path)
    assert math.isnan(run.history["loss"][0])
    assert all(math.isnan(value) for value in run.history["speed"])
    assert run.last("loss") == 1.0
    for metric in "speed", "accuracy":
        with pytest.raises(ValueError, match=f"metric='{metric}'"):
            run.last(metric)


def test_damaged_explanation_is_still_read(make_run):
    folder = make_run("run", {"loss": [1.0]})
    (folder / "explain.txt").write_bytes(b"rate \xff 0.1")
    assert read_run(folder).explain == "rate � 0.1"
