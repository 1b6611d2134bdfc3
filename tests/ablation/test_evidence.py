"""What benchmarks/evidence.py keeps is enough to go on elsewhere."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from keras_tricks import Recipe
from keras_tricks.ablation import make_sweep, read_results

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
FLAGS = ["--tricks=cosine", "--epochs=2"]


@pytest.fixture
def evidence(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("_evidence_store")
    monkeypatch.setattr(module, "STORED", tmp_path / "stored")
    yield module
    sys.modules.pop("_evidence_store")


@pytest.fixture
def sweep():
    base = Recipe.preset("baseline", epochs=2, batch_size=64, warmup_epochs=0)
    return make_sweep(base, ["cosine"])


def write_run(folder, values, **result):
    folder.mkdir(parents=True)
    rows = [f"{i},{x},{1 - x},100.5,0.3" for i, x in enumerate(values)]
    head = "epoch,val_accuracy,val_crossentropy,images_per_second,loss"
    (folder / "history.csv").write_text("\n".join([head, *rows]) + "\n")
    facts = {"wall_seconds": 4.25, "parameters": 12, **result}
    (folder / "result.json").write_text(json.dumps(facts))


@pytest.fixture
def first(sweep, tmp_path):
    """The folder of a sweep with three complete runs and one that failed."""
    folder = tmp_path / "first"
    sweep.save(folder)
    (folder / "plan.json").write_text('{"seeds": 2}')
    write_run(folder / "baseline_seed0", [0.25, 0.5])
    write_run(folder / "baseline_seed1", [0.25, 0.625])
    write_run(folder / "cosine_seed0", [0.5, 0.75])
    (folder / "cosine_seed1").mkdir()
    (folder / "cosine_seed1" / "failed.json").write_text('{"error": "NaN"}')
    write_run(folder / "tuning" / "baseline_seed7", [0.1, 0.1])
    return folder


def test_stored_runs_go_on_in_another_folder(evidence, sweep, first, tmp_path):
    evidence.store("study", first, FLAGS)
    second = tmp_path / "second"
    assert evidence.restore("study", second, FLAGS) == 3
    sweep.save(second)  # Not refused: nothing else lies there.
    found, known = (read_results(sweep, f) for f in (second, first))
    assert found.values(sweep) == known.values(sweep)
    assert found.seconds() == known.seconds()
    assert (second / "plan.json").read_text() == '{"seeds": 2}'
    assert not found.failed  # Tried again: the machine is another one.


def test_what_is_stored_is_judged(evidence, first):
    evidence.store("study", first, FLAGS)
    judged, values, decisions = evidence.judge("study")
    assert judged["flags"] == FLAGS
    assert values == {
        "baseline": {0: 0.5, 1: 0.625},
        "cosine": {0: 0.75},
    }
    by_name = {one.contrast.name: one for one in decisions}
    assert by_name["cosine"].difference.mean == 0.25


def test_other_flags_or_a_folder_with_a_plan_begin_anew(
    evidence, first, tmp_path
):
    assert evidence.restore("study", tmp_path / "none", FLAGS) == 0
    evidence.store("study", first, FLAGS)
    assert evidence.restore("study", tmp_path / "other", ["--epochs=3"]) == 0
    assert evidence.restore("study", first, FLAGS) == 0
    assert not (tmp_path / "other").exists()
