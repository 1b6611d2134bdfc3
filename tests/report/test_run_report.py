import json
import math
import os
import sys

import pytest

from keras_tricks import Recipe
from keras_tricks.report import page, write_run_report

NASTY = '<i>& "$x_1$"'
COLUMNS = {
    "accuracy": [0.3, 0.5, 0.6],
    "val_accuracy": [0.4, 0.7, 0.65],
    "loss": [2.0, 1.5, 1.0],
    "val_loss": [1.9, 1.2, 1.1],
    "crossentropy": [2.0, 1.5, 1.0],
    "val_crossentropy": [1.9, 1.1, 0.9],
    "learning_rate": [0.1, 0.05, 0.0],
    "images_per_second": [100.0, 1500.0, 1600.0],
    "loss_scale": [32768.0, 32768.0, 65536.0],
}


def test_says_what_the_folder_says(make_run, read_page):
    folder = make_run(
        "run",
        COLUMNS,
        recipe={"seed": 4, "zero_gamma": True, "width": 8, "decay": None},
        result={
            "backend": "jax",
            "model": "resnet18_d",
            "parameters": 12345,
            "wall_seconds": 3725.2,
            "versions": {"keras": "3.15.1"},
        },
        explain="peak 0.1\n▁▂▃",
    )
    defaults = {"zero_gamma": True, "width": 16, "decay": None, "seed": 0}
    path = write_run_report(folder, defaults=defaults)
    assert path == folder / "report.html"
    read_page(path).assert_self_contained()
    assert len(read_page(path).pictures) == 6
    text = read_page(path).text
    for part in (
        "3 epochs · resnet18_d · Keras on jax · seed 4",
        "Validation accuracy 65.00 % best 70.00 % in epoch 2",
        "Validation loss 1.1000 after the last epoch",
        "Images per second 1,500 median of the epochs",
        "Wall time 1 h 02 min",
        "Parameters 12,345",
        "setting here default seed 4 0 width 8 16 The other",
        "at their defaults: zero_gamma on decay none",
        "peak 0.1 ▁▂▃",
        "versions.keras 3.15.1",
        str(folder),
    ):
        assert part in text


def test_compares_with_the_defaults_of_recipe(make_run, read_page):
    recipe = json.loads(Recipe(width=8).to_json())
    folder = make_run("run", COLUMNS, recipe=recipe)
    text = read_page(write_run_report(folder)).text
    assert f"default width 8 {Recipe.width} The other settings" in text


def test_only_a_history(make_run, read_page):
    path = write_run_report(make_run("run", {"loss": [2.0, 1.0]}))
    text = read_page(path).text
    assert "2 epochs Loss 1.0000 after the last epoch Curves Loss" in text
    assert len(read_page(path).pictures) == 1
    for heading in "Recipe", "The plan", "Result":
        assert heading not in text


def test_one_epoch(make_run, read_page):
    columns = {name: values[:1] for name, values in COLUMNS.items()}
    path = write_run_report(make_run("run", columns))
    assert "1 epoch Validation accuracy 40.00 % best" in read_page(path).text
    assert len(read_page(path).pictures) == 6


def test_missing_and_infinite_numbers(make_run, read_page):
    nan, inf = math.nan, math.inf
    columns = {
        "val_accuracy": [nan, 0.5, nan],
        "accuracy": [0.25, nan, 0.5],
        "loss": [inf, 2.0, nan],
        "val_loss": [nan, nan, nan],
        "images_per_second": [nan, 100.0, 300.0],
        "learning_rate": [0.0, 0.0, 0.0],
        "loss_scale": [nan, nan, nan],
    }
    path = write_run_report(make_run("run", columns))
    text = read_page(path).text
    assert "Training accuracy 50.00 % best 50.00 % in epoch 3" in text
    assert "Images per second 200 median" in text
    assert " nan" not in text
    assert "Validation loss" not in text
    assert len(read_page(path).pictures) == 4


def test_says_that_mixing_changes_the_training_metrics(make_run, read_page):
    def text(name, **recipe):
        folder = make_run(name, COLUMNS, recipe=recipe)
        return read_page(write_run_report(folder, defaults={})).text

    assert "not comparable with validation" in text("a", mixup_alpha=0.2)
    assert "mixed" not in text("b", mixup_alpha=0.0, mixup_off_epochs=5)


def test_wide_losses_are_drawn_on_a_log_scale(make_run, read_page):
    def picture(name, loss):
        path = write_run_report(make_run(name, {"loss": loss}))
        return read_page(path).pictures[0]

    assert "<!-- log scale -->" in picture("a", [100.0, 1.0])
    assert "<!-- log scale -->" not in picture("b", [10.0, 1.0])
    assert "<!-- log scale -->" not in picture("c", [10.0, 0.0])


def test_epochs_keep_their_numbers(tmp_path, read_page):
    (tmp_path / "history.csv").write_text("epoch,val_accuracy\n7,0.75\n8,0.5\n")
    path = write_run_report(tmp_path)
    assert "best 75.00 % in epoch 8" in read_page(path).text


def test_nasty_text_is_escaped(make_run, read_page):
    folder = make_run(
        "<i>&",
        COLUMNS,
        recipe={"name": NASTY, NASTY: NASTY, "model": NASTY},
        result={NASTY: NASTY, "backend": NASTY},
        explain=NASTY,
    )
    path = write_run_report(folder, defaults={NASTY: 1})
    read_page(path).assert_self_contained()
    text = read_page(path).text
    assert text.count(NASTY) >= 8
    assert "<i>&" not in path.read_text("utf-8")


def test_an_old_report_stays_if_writing_fails(make_run, monkeypatch):
    folder = make_run("run", COLUMNS)
    path = write_run_report(folder)
    before, names = path.read_bytes(), sorted(os.listdir(folder))

    def fail(*_):
        raise OSError("disk full")

    (folder / "explain.txt").write_text("something new")
    names = sorted([*names, "explain.txt"])
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_run_report(folder)
    assert path.read_bytes() == before
    assert sorted(os.listdir(folder)) == names
    monkeypatch.undo()
    write_run_report(folder)
    assert "something new" in path.read_text("utf-8")
    assert sorted(os.listdir(folder)) == names


def test_the_same_folder_gives_the_same_page(make_run):
    folder = make_run("run", COLUMNS, recipe={"seed": 1})
    first = write_run_report(folder, defaults={}).read_bytes()
    assert write_run_report(folder, defaults={}).read_bytes() == first


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="`folder` must be the folder"):
        write_run_report(tmp_path / "none")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_names_the_extra_without_a_package(make_run, monkeypatch, package):
    folder = make_run("run", COLUMNS)
    page._environment.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'pip install "keras_tricks\[report\]"`. Received: .*{package}'
    with pytest.raises(ImportError, match=message):
        write_run_report(folder)
    assert not (folder / "report.html").exists()
