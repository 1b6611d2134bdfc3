import json

import pytest

from keras_tricks.ablation import compare_runs


@pytest.fixture
def make_seeds(tmp_path):
    """A function that writes run folders with the given last accuracies."""

    def write(name, values, seeds=None, column="val_accuracy"):
        folders = []
        for index, value in enumerate(values):
            folder = tmp_path / f"{name}{index}"
            folder.mkdir()
            (folder / "history.csv").write_text(
                f"epoch,{column}\n0,0.1\n1,{value}\n"
            )
            if seeds is not None:
                recipe = json.dumps({"seed": seeds[index]})
                (folder / "recipe.json").write_text(recipe)
            folders.append(folder)
        return folders

    return write


def test_pairs_by_seed_whatever_the_order(make_seeds, tmp_path):
    base = make_seeds("a", [0.5, 0.6, 0.7], seeds=[3, 1, 2])
    other = make_seeds("b", [0.65, 0.75, 0.55], seeds=[1, 2, 3])
    decision = compare_runs(tmp_path, {"a": base, "b": other})[0]
    assert list(decision.deltas) == [1, 2, 3]
    assert all(abs(d - 0.05) < 1e-9 for d in decision.deltas.values())


def test_only_common_seeds_are_compared(make_seeds, tmp_path):
    base = make_seeds("a", [0.5, 0.6], seeds=[0, 1])
    other = make_seeds("b", [0.7, 0.9], seeds=[1, 2])
    decision = compare_runs(tmp_path, {"a": base, "b": other})[0]
    assert list(decision.deltas) == [1]


def test_pairs_by_place_without_seeds(make_seeds, tmp_path):
    base, other = make_seeds("a", [0.5, 0.6]), make_seeds("b", [0.6, 0.8])
    decision = compare_runs(tmp_path, {"a": base, "b": other})[0]
    assert list(decision.deltas) == [0, 1]


def test_an_error_is_to_fall(make_seeds, tmp_path):
    base = make_seeds("a", [1.0, 1.01, 1.02, 1.0], column="val_loss")
    other = make_seeds("b", [0.5, 0.52, 0.5, 0.51], column="val_loss")
    found = compare_runs(tmp_path, {"a": base, "b": other}, "val_loss")
    assert found[0].verdict == "helps"
    assert "Keep:** b" in (tmp_path / "comparison.md").read_text()


def test_what_is_too_small_is_in_points(make_seeds, tmp_path):
    base = make_seeds("a", [0.5, 0.501, 0.502, 0.5])
    other = make_seeds("b", [0.501, 0.5, 0.502, 0.5])
    for points, verdict in (
        (0.01, "no evidence"),
        (1.0, "too small to matter"),
    ):
        runs = {"a": base, "b": other}
        found = compare_runs(tmp_path, runs, smallest_effect=points)
        assert found[0].verdict == verdict


def test_what_is_unlike_is_said_or_refused(make_seeds, tmp_path):
    base = make_seeds("a", [0.5, 0.6], seeds=[0, 1])
    other = make_seeds("b", [0.7, 0.9], seeds=[0, 1])
    for folder, epochs in zip([*base, *other], (2, 2, 3, 3), strict=True):
        recipe = json.loads((folder / "recipe.json").read_text())
        text = json.dumps({**recipe, "epochs": epochs})
        (folder / "recipe.json").write_text(text)
        result = {"backend": "jax" if folder in base else "torch"}
        (folder / "result.json").write_text(json.dumps(result))
    compare_runs(tmp_path, {"a": base, "b": other})
    text = (tmp_path / "comparison.md").read_text()
    assert "Not at equal epochs: epochs is 2 and 3." in text
    assert "Not on one backend: backend is jax and torch." in text
    mixed = {"a": base, "b": [other[0], base[1]]}
    with pytest.raises(ValueError, match="of one recipe but for the seed"):
        compare_runs(tmp_path, mixed)


def test_mistakes(make_seeds, tmp_path):
    base = make_seeds("a", [0.5, 0.6], seeds=[0, 1])
    with pytest.raises(ValueError, match="two configurations or more"):
        compare_runs(tmp_path, {"a": base})
    with pytest.raises(ValueError, match="must have each seed once"):
        compare_runs(tmp_path, {"a": base, "b": [base[0], base[0]]})
    with pytest.raises(ValueError, match="`folder` must be the folder of a"):
        compare_runs(tmp_path, {"a": base, "b": [tmp_path / "none"]})
    with pytest.raises(ValueError, match="`metric` must be a column"):
        compare_runs(tmp_path, {"a": base, "b": base}, "val_loss")
