"""The benchmark for GPUs: every section leaves its rows, or a reason."""

import importlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_tricks import Recipe

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
BACKEND = keras.backend.backend()


@pytest.fixture
def load(monkeypatch):
    """A function that imports a module of benchmarks/."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def options(load, tmp_path):
    return load("_options").Options(
        quick=True,
        backends=["torch", "jax"],
        only=[],
        precisions=["mixed_bfloat16"],
        batch_sizes=[2],
        at_once=4,
        profile=False,
        cifar_dir="cifar10.npz",
        cifar_epochs=1,
        cifar_seeds=2,
        folder=tmp_path,
    )


# Seconds of a step, by kind; the others fail on purpose.
CONTENDERS = """
import os

STEPS = {"ours": [0.5, 0.25], "applications": [2.0, 2.0]}

def make(kind, **case):
    if kind == "timm":
        raise RuntimeError("broken on purpose" + 2 * chr(10) + "by a test")
    if kind == "timm compiled":
        os.write(2, b"CUDA error: broken on purpose")
        os._exit(3)
    return Stub(kind)

class Stub:
    def __init__(self, kind):
        self.kind, self.rounds = kind, 0

    def round(self):
        self.rounds += 1
        if self.kind == "input":
            return {"same": 0.5, "files": 2.0, "alone": 1.0}
        if os.environ["KERAS_BACKEND"] == "jax":
            assert self.rounds < 2, "out of memory | on purpose"
            return {"step": 1.0}
        return {"step": STEPS[self.kind][self.rounds - 1]}

    def facts(self):
        return {"device": "H200", "device_gib": 30.0, "copy": 0.05}
"""
PYTEST = """\
collected 5 items

tests/a/test_b.py::test_one[a b] PASSED                       [ 20%]
tests/a/test_b.py::test_one[c|d] FAILED                       [ 40%]
tests/a/test_b.py::test_two SKIPPED (compiles none)           [ 60%]
tests/a/test_b.py::test_three PASSED                          [ 80%]
tests/a/test_b.py::test_three ERROR                           [ 80%]
Fatal Python error: Aborted
"""


def fake_run(command, environment, deadline, cwd=None):
    """What `_processes.run` would return, without the processes."""
    flags = dict(
        str(part).removeprefix("--").split("=", 1)
        for part in command
        if "=" in str(part)
    )
    if "pytest" in command:
        return -6, PYTEST
    if "configurations" not in flags:
        return 1, "Traceback\n  ...\nValueError: broken on purpose\n"
    assert flags["data_dir"].endswith("cifar10.npz")
    own = {"configurations", "seeds", "folder"}
    assert set(flags) <= set(Recipe.__dataclass_fields__) | own
    runs = {"baseline_seed0": 0.5, "whole_bag_seed0": 0.75}
    for name, accuracy in (runs | {"baseline_seed1": 0.5}).items():
        folder = Path(flags["folder"]) / name
        folder.mkdir(parents=True)
        result = {"val_accuracy": accuracy, "epochs": 1}
        result |= {"images_per_second": 100.0, "wall_seconds": 2.0}
        (folder / "result.json").write_text(json.dumps(result))
    return None, ""


def run_all(load, options, tmp_path, monkeypatch):
    """Rows of each section, and the page, with stubs in place of Keras."""
    (tmp_path / "stub_contenders.py").write_text(CONTENDERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(load("_in_turn"), "MODULE", "stub_contenders")
    for module in ("_sections", "_device_tests"):
        monkeypatch.setattr(load(module), "run", fake_run)
    sections, out = load("_sections").SECTIONS, tmp_path / "gpu.json"
    load("_report").measure_all(
        options, list(sections), time.monotonic() + 300, "python it", out
    )
    found = json.loads(out.read_text())
    assert list(found["sections"]) == list(sections)
    rows = {name: part["rows"] for name, part in found["sections"].items()}
    return rows, out.with_suffix(".md").read_text()


def test_what_fails_is_a_row_that_says_why(
    load, options, tmp_path, monkeypatch
):
    rows, page = run_all(load, options, tmp_path, monkeypatch)
    speed = {row["name"]: row for row in rows["speed"]}
    ours, theirs = speed["ours, PyTorch"], speed["keras.applications, PyTorch"]
    assert ours["rates"] == [4, 8] and theirs["rates"] == [1, 1]
    assert ours["images_per_second"] == 6 and ours["to_applications"] == 6
    assert ours["copy_share"] == pytest.approx(0.05 / 0.375)
    reasons = {
        "timm, eager": "RuntimeError: broken on purpose",
        "timm, compiled": "ended with exit code 3: "
        "CUDA error: broken on purpose",
        "ours, JAX": "AssertionError: out of memory | on purpose",
    }
    for name, reason in reasons.items():
        assert speed[name]["error"] == reason
        reason = reason.replace("|", "\\|")
        assert f"- {name}, mixed_bfloat16, 2: {reason}\n" in page
    assert speed["ours, JAX"]["rates"] == [2]
    (tricks,) = rows["tricks"]
    assert tricks["error"] == "ValueError: broken on purpose"
    (files,) = rows["input"]
    assert (files["same"], files["files"], files["alone"]) == (4, 1, 2)
    assert files["waits"] == 0.75
    (tests,) = rows["tests"]
    counts = {"passed": 1, "failed": 2, "skipped": 1, "not_run": 1}
    assert tests.items() >= counts.items()
    failed = [f"tests/a/test_b.py::test_{x}" for x in ("one[c|d]", "three")]
    assert tests["failures"] == failed
    assert tests["stopped"] == "Fatal Python error: Aborted"
    *runs, gain = rows["cifar"]
    assert [row.get("val_accuracy") for row in runs] == [0.5, 0.75, 0.5, None]
    assert runs[-1]["error"] == "took too long"
    assert (gain["val_accuracy"], gain["seeds"]) == (0.25, 1)
    for section, title in load("_report").TITLES.items():
        _, _, text = page.partition(f"### {title}\n\n")
        table = [line for line in text.split("\n\n")[0].splitlines()]
        assert len(table) == len(rows[section]) + 2
        columns = {line.replace("\\|", "").count("|") for line in table}
        assert len(columns) == 1
    assert (
        "| ours, PyTorch | mixed_bfloat16 | 2 | 6.0 | 4.0 | 8.0 | 6.00 | "
        "30.0 | 13.3% | H200 |"
    ) in page


def test_without_time_every_section_says_so(options, load):
    sections = load("_sections").SECTIONS
    report = load("_report").measure_all(
        options, list(sections), time.monotonic() - 1, "python it"
    )
    for name, section in report["sections"].items():
        if name != "versions":
            assert {row["error"] for row in section["rows"]} == {"no time left"}
    options.cifar_dir = None
    (row,) = load("_report").measure("cifar", options, time.monotonic())
    assert row["error"] == "no --cifar_dir was given"


def test_a_section_that_fails_is_a_row_too(options, load, monkeypatch):
    def section(options, deadline):
        yield {"name": "card", "version": "none"}
        raise OSError("broken on purpose")

    report = load("_report")
    monkeypatch.setitem(report.SECTIONS, "versions", (section, 1))
    first, last = report.measure("versions", options, 0)
    assert first["version"] == "none"
    assert last["error"] == "OSError: broken on purpose"


def test_what_takes_too_long_is_ended_with_all_it_started(
    load, tmp_path, monkeypatch
):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = (
        "import os, subprocess, sys, time;"
        "os.set_inheritable(os.open(sys.argv[1], os.O_WRONLY), True);"
        "subprocess.Popen(['sleep', '99'], close_fds=False);"
        "print('begun', flush=True); time.sleep(99)"
    )
    reader, poll = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), select.poll()
    start = time.monotonic()
    ended = load("_processes").run(["-S", "-c", code, fifo], {}, start + 2)
    assert ended == (None, "begun\n")
    poll.register(reader, select.POLLHUP)  # When nobody can write to it.
    assert poll.poll(5000)
    os.close(reader)
    (tmp_path / "slow.py").write_text("import time\ndef make(): time.sleep(99)")
    monkeypatch.syspath_prepend(tmp_path)
    worker = load("_processes").Worker("slow", {}, {})
    with pytest.raises(load("_processes").Failed, match="took too long"):
        worker.wait(time.monotonic() + 0.1)
    worker.stop()
    assert time.monotonic() < start + 60


def test_the_tests_that_it_runs_exist(load):
    tests = load("_device_tests")
    for paths in [*tests.TESTS.values(), *tests.QUICK.values()]:
        for path in paths:
            file, _, name = path.partition("::")
            assert (ROOT / "tests" / file).exists(), path
            if name:
                assert f"def {name}(" in (ROOT / "tests" / file).read_text()


@pytest.fixture
def contenders(load):
    data_format = keras.config.image_data_format()
    yield load("_contenders")
    keras.config.set_image_data_format(data_format)


CASE = {"precision": "mixed_bfloat16", "batch_size": 2, "quick": True}


def test_a_step_that_reads_files(contenders, load, tmp_path):
    load("_in_turn").make_jpegs(tmp_path, count=8, links=1)
    one = contenders.make("input", **CASE, folder=str(tmp_path))
    seconds = one.round()
    assert sorted(seconds) == ["alone", "files", "same"]
    assert min(seconds.values()) > 0
    facts = one.facts()
    assert facts["copy"] > 0 and np.isfinite(facts["loss"])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_timm(precision, contenders, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "timm.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    timm = importlib.import_module("timm")
    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setitem(sys.modules, "timm", timm)

    def create_model(name):
        assert name == "resnet50d"
        nn = torch.nn
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000)]
        return nn.Sequential(*layers)

    timm.create_model = create_model
    one = contenders.make("timm", **CASE | {"precision": precision})
    before = [p.detach().clone() for p in one.network.parameters()]
    assert one.round()["step"] > 0
    assert np.isfinite(one.facts()["loss"])
    for old, new in zip(before, one.network.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_the_command(tmp_path):
    """`--quick` itself, in the sections whose code runs nowhere else here."""
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [
            sys.executable,
            "benchmarks/accelerator.py",
            "--quick",
            f"--out={out}",
            f"--backends={BACKEND}",
            "--only=ours",
            "--section=versions",
            "--section=speed",
            "--section=tricks",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["quick"] and found["command"].endswith("--section=tricks")
    sections = found["sections"]
    versions = {row["name"]: row for row in sections["versions"]["rows"]}
    assert versions["keras"]["version"] == keras.__version__
    (ours,) = sections["speed"]["rows"]
    assert ours["images_per_second"] > 0 and len(ours["rates"]) == 2
    assert ours["device"] and np.isfinite(ours["loss"])
    names = [row["name"] for row in sections["tricks"]["rows"]]
    assert names == ["baseline", "baseline again", "packed distillation"]
    assert all(row["ratio"] > 0 for row in sections["tricks"]["rows"])
    assert "whose figures say nothing" in out.with_suffix(".md").read_text()
