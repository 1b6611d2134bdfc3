import pytest

from keras_tricks import Recipe
from keras_tricks.ablation import load_sweep, make_sweep, plan_sweep
from keras_tricks.ablation.cost import Cost
from keras_tricks.ablation.tune import Tuned

MODULE = "keras_tricks.ablation.plan_sweep"


def make(epochs, **fields):
    base = Recipe.preset("baseline", epochs=epochs, batch_size=64, **fields)
    return make_sweep(base, ["cosine", "mixup"])


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """A second for an epoch, and rates that are known at once."""
    module = __import__(MODULE, fromlist=["measure_sweep"])
    done = []

    def measure(sweep):
        done.append("timed")
        return {name: Cost(0.0, 1.0) for name in sweep.recipes}

    def tune(recipe, name, *others):
        done.append(f"tuned {name}")
        rate = 0.4 if name == "whole_bag" else 0.05
        return Tuned(rate, (), f"{name}: {rate}")

    monkeypatch.setattr(module, "measure_sweep", measure)
    monkeypatch.setattr(module, "tune", tune)
    return done


def plan(folder, make=make, epochs=12, seeds=3, **options):
    said = []
    return plan_sweep(
        make, folder, epochs, seeds, say=said.append, **options
    ), said


def test_what_was_planned_is_kept(tmp_path, measured):
    first, said = plan(tmp_path, tuned=True)
    assert said == [
        "Timing some steps ...",
        "4 configurations, 3 seeds of 12 epochs: 12 runs, about 4 min",
    ]
    assert measured == ["timed", "tuned baseline", "tuned whole_bag"]
    again, said = plan(tmp_path, tuned=True)
    assert again == first and said == [] and len(measured) == 3
    rates = {n: r.base_learning_rate for n, r in first.sweep.recipes.items()}
    assert rates["baseline"] == rates["mixup"] == 0.05
    assert rates["whole_bag"] == 0.4
    assert load_sweep(tmp_path) == first.sweep
    assert list(first.sweep.notes) == ["baseline: 0.05", "whole_bag: 0.4"]


def test_more_seeds_or_time_go_on_with_the_same_epochs(tmp_path, measured):
    # 4 configurations, 12 s: two seeds of a third, or three of 8.
    first, _ = plan(tmp_path, budget=100.0, seeds=5)
    assert (first.seeds, first.sweep.recipes["mixup"].epochs) == (3, 8)
    assert plan(tmp_path, budget=100.0, seeds=5)[0] == first
    larger, _ = plan(tmp_path, budget=1000.0, seeds=5)
    assert (larger.seeds, larger.sweep) == (5, first.sweep)
    more, _ = plan(tmp_path, budget=1000.0, seeds=9)
    assert (more.seeds, more.sweep) == (9, first.sweep)
    assert measured == ["timed"]
    assert "To keep to the budget" in first.sweep.notes[0]


def test_configurations_that_do_not_fit_are_left_out(tmp_path):
    found, said = plan(tmp_path, budget=18.0)
    assert list(found.sweep.recipes) == ["baseline", "whole_bag"]
    assert [c.name for c in found.sweep.contrasts] == ["whole_bag"]
    assert said[1].startswith("2 configurations, 2 seeds of 4 epochs")


def test_mistakes_are_seen_before_steps_are_timed(tmp_path, measured):
    plan(tmp_path / "a")
    measured.clear()
    with pytest.raises(ValueError, match="where epochs is 12 and not 13"):
        plan(tmp_path / "a", epochs=13)
    with pytest.raises(ValueError, match="where width is 16 and not 8"):
        plan(tmp_path / "a", make=lambda epochs: make(epochs, width=8))
    with pytest.raises(ValueError, match="`validation_share` must be 0"):
        plan(
            tmp_path / "b",
            make=lambda epochs: make(epochs, validation_share=0.2),
            tuned=True,
        )
    assert measured == []
    with pytest.raises(ValueError, match="`budget` must be 16s or more"):
        plan(tmp_path / "b", budget=5.0)
