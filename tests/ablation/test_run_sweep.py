import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

from keras_tricks import training
from keras_tricks._lock import FolderLock
from keras_tricks.ablation import Budget, read_results, run_sweep
from keras_tricks.ablation.run_sweep import CLAIMS, asks, open_configurations

from ..distribute.training import time_limit
from . import fake_sweep

SCRIPT = Path(__file__).with_name("fake_sweep.py")
RUNS = {
    f"{name}_seed{seed}"
    for name in ("baseline", "cosine", "mixup", "whole_bag")
    for seed in range(fake_sweep.SEEDS)
}
FAILED = {"mixup_seed2", "whole_bag_seed2"}


def start(folder, index=0, count=1, seconds=0.2):
    arguments = [str(folder), str(index), str(count), str(seconds)]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        # It computes nothing: of the three this one is imported soonest.
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=time_limit(120))
    assert process.returncode == 0, output[-2000:]
    assert "complete: True" in output
    return output


def lines(folder, kind):
    text = (folder / "log.txt").read_text()
    pairs = [line.split() for line in text.splitlines()]
    return [name for what, name in pairs if what == kind]


def check_each_run_ended_once(folder):
    assert sorted(lines(folder, "end")) == sorted(RUNS - FAILED)
    assert set(lines(folder, "fail")) == FAILED
    results = read_results(fake_sweep.sweep(), folder)
    assert results.count == len(RUNS) and len(results.failed) == len(FAILED)
    claims = folder / CLAIMS
    assert not claims.exists() or not list(claims.iterdir())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table of a sweep that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    finish(start(folder, seconds=0))
    check_each_run_ended_once(folder)
    return (folder / "comparison.csv").read_text()


def test_ten_kills_at_random_moments(tmp_path, table):
    rng = random.Random(0)
    for number in range(10):
        process = start(tmp_path)
        # From the imports on, which take most of a second.
        before = len(lines(tmp_path, "begin")) if number else 0
        deadline = time.monotonic() + time_limit(60)
        while time.monotonic() < deadline and process.poll() is None:
            log = tmp_path / "log.txt"
            if log.exists() and len(lines(tmp_path, "begin")) > before:
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
        process.communicate(timeout=time_limit(60))
    finish(start(tmp_path, seconds=0))
    check_each_run_ended_once(tmp_path)
    assert (tmp_path / "comparison.csv").read_text() == table


def test_two_shards_share_the_work(tmp_path, table):
    both = [start(tmp_path, index, 2) for index in (0, 1)]
    outputs = [finish(process) for process in both]
    check_each_run_ended_once(tmp_path)
    assert sorted(lines(tmp_path, "begin")) == sorted(RUNS)  # None twice.
    assert (tmp_path / "comparison.csv").read_text() == table
    assert all("seed" in output for output in outputs)  # Both did some.


def test_what_a_dead_shard_had_is_taken_over(tmp_path, table):
    first = start(tmp_path, 0, 2, seconds=30)
    deadline = time.monotonic() + time_limit(60)
    while not (tmp_path / "log.txt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = start(tmp_path, 1, 2, seconds=0)
    while len(lines(tmp_path, "end")) < len(RUNS - FAILED) - 2:
        assert time.monotonic() < deadline + time_limit(60)
        time.sleep(0.05)
    assert second.poll() is None  # It waits for the run of the first.
    first.kill()
    first.communicate()
    finish(second)
    assert sorted(lines(tmp_path, "end")) == sorted(RUNS - FAILED)
    assert (tmp_path / "comparison.csv").read_text() == table


@pytest.fixture
def fake_runs(monkeypatch):
    monkeypatch.setattr(training, "prepare", fake_sweep.Run)
    monkeypatch.setattr(keras.utils, "clear_session", lambda: None)


def run(folder, **options):
    sweep = fake_sweep.sweep(options.pop("sequential", False))
    said = []
    options = {"seeds": fake_sweep.SEEDS, **options}
    done = run_sweep(sweep, folder, say=said.append, **options)
    return sweep, done, said


@pytest.mark.usefixtures("fake_runs")
def test_it_says_what_is_left_and_what_failed(tmp_path):
    _, done, said = run(tmp_path)
    assert done
    assert said[0] == "[1/16] baseline, seed 0"
    assert said[2].startswith("[2/16] cosine, seed 0, about ")
    assert "  failed: The loss is NaN" in said
    why = json.loads((tmp_path / "mixup_seed2" / "failed.json").read_text())
    assert why == {"error": "The loss is NaN"}
    again, _, said = run(tmp_path)
    assert said == []


@pytest.mark.usefixtures("fake_runs")
def test_a_run_of_another_recipe_is_not_taken(tmp_path):
    (tmp_path / "cosine_seed0").mkdir()
    recipe = fake_sweep.BASE.replace(width=8)
    (tmp_path / "cosine_seed0" / "recipe.json").write_text(recipe.to_json())
    with pytest.raises(ValueError, match="width is 8 and not 16"):
        run(tmp_path)


def test_a_budget_ends_it(tmp_path):
    _, done, said = run(tmp_path, budget=Budget(10.0, {"baseline": 60.0}))
    assert not done
    assert said == ["The time is up: the rest is left out"]


@pytest.mark.usefixtures("fake_runs")
def test_another_backend_is_refused(tmp_path):
    run(tmp_path, seeds=1)
    path = tmp_path / "baseline_seed0" / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "backend": "theano"}))
    with pytest.raises(ValueError, match="set KERAS_BACKEND=theano"):
        run(tmp_path)


@pytest.mark.usefixtures("fake_runs")
def test_no_run_is_begun_that_another_process_does(tmp_path):
    sweep = fake_sweep.sweep()
    results = read_results(sweep, tmp_path)
    first = asks(sweep, tmp_path, 1, results)[0]
    assert first.folder.name == "baseline_seed0"
    code = (
        "import sys; from keras_tricks._lock import FolderLock\n"
        f"lock = FolderLock({str(tmp_path / CLAIMS / first.folder.name)!r}, "
        "'folder'); lock.acquire(); print('has it', flush=True); "
        "sys.stdin.read(); lock.release()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "has it\n"
    said = []

    def say(line):
        said.append(line)
        if len(said) == 2:  # Then it may go on with the first.
            other.communicate()

    assert run_sweep(sweep, tmp_path, 1, say=say)
    assert said[0] == "[1/4] cosine, seed 0"
    assert any("baseline, seed 0" in line for line in said)
    with FolderLock(tmp_path / CLAIMS / "baseline_seed0", "folder"):
        pass


@pytest.mark.usefixtures("fake_runs")
def test_seeds_are_added_until_the_questions_are_decided(tmp_path):
    sweep, done, _ = run(tmp_path, sequential=True, seeds=12)
    assert done
    results = read_results(sweep, tmp_path)
    by_name = {d.contrast.name: d for d in results.decisions(sweep)}
    assert by_name["cosine"].verdict == "helps"
    assert by_name["mixup"].verdict == "unstable"
    counts = {name: len(v) for name, v in results.values(sweep).items()}
    # What is decided gets no more seeds; what failed neither.
    assert counts["mixup"] == 2 and counts["cosine"] < 12
    assert counts["baseline"] == counts["cosine"]
    for count in range(1, counts["cosine"]):
        assert "cosine" in open_configurations(sweep, results, count)
    assert not open_configurations(sweep, results, counts["cosine"])
