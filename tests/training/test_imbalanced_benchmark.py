"""How benchmarks/imbalanced.py cuts classes and what it makes of results."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from keras_tricks.data import ImageData

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    """The module; its flags are in the place of those of other scripts."""
    defined = flags.FLAGS.flags_by_module_dict()
    before = {
        flag.name: flag
        for module, found in defined.items()
        for flag in found
        if not module.startswith("absl.")
    }
    for name in before:
        delattr(flags.FLAGS, name)
    kept = {*flags.FLAGS}
    file = ROOT / "benchmarks" / "imbalanced.py"
    spec = importlib.util.spec_from_file_location("imbalanced", file)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path
    for name in {*flags.FLAGS} - kept:
        delattr(flags.FLAGS, name)
    for name, flag in before.items():
        flags.FLAGS[name] = flag


def folder_of(sizes):
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = np.arange(len(y), dtype="uint8")[:, None, None, None]
    x = np.broadcast_to(x, (len(y), 8, 8, 3)).copy()
    return ImageData(x, y, x, y, tuple("abc")[: len(sizes)])


def test_each_class_is_the_large_one_in_turn(script):
    loaded, large = folder_of([20, 20, 20]), []
    for seed in range(3):
        x, y = script.cut_classes(loaded, [20, 9, 4], seed)
        counts = np.bincount(y)
        assert sorted(counts) == [4, 9, 20]
        large.append(counts.argmax())
        np.testing.assert_array_equal(loaded.y_train[x[:, 0, 0, 0]], y)
        assert len(np.unique(x[:, 0, 0, 0])) == 33
    assert sorted(large) == [0, 1, 2]


def test_counts_that_do_not_fit(script):
    with pytest.raises(ValueError, match="as many as the classes, 3. Received"):
        script.cut_classes(folder_of([5, 5, 5]), [5, 5], 0)
    with pytest.raises(ValueError, match="exceed the 5 images of the class a"):
        script.cut_classes(folder_of([5, 9, 9]), [9, 5, 5], 0)


def test_the_table_has_means_over_seeds(script, tmp_path, monkeypatch):
    rows = [
        dict(zip(script.COLUMNS, ("plain", s, v, 0.5, 1, 0), strict=True))
        for s, v in enumerate((0.4, 0.5, 0.6))
    ]
    text = script.table(rows)
    row = "| plain | 50.0 ± 10.0 | 50.0 ± 0.0 | 100.0 ± 0.0 | 0.0 ± 0.0 |"
    assert row in text
    assert "over 3 seeds" in text
    page = tmp_path / "page.md"
    begin, end = script._MARKS
    page.write_text(f"above\n{begin}\nold\n{end}\nbelow\n")
    monkeypatch.setattr(script, "PAGE", page)
    monkeypatch.setattr(script, "STORED", tmp_path / "results" / "rows.csv")
    script.store(rows)
    script.write_docs()
    assert page.read_text() == f"above\n{begin}\n{text}{end}\nbelow\n"
