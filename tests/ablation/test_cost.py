import pytest

from keras_tricks import Recipe
from keras_tricks.ablation import Budget, make_sweep, read_budget
from keras_tricks.ablation.cost import Cost, fit_budget, measure_sweep

COSTS = {name: Cost(start=5.0, epoch=1.0) for name in "abcd"}


def test_what_fits_is_taken_as_it_is():
    found = fit_budget(COSTS, epochs=20, seeds=5, budget=None)
    assert (found.epochs, found.seeds, found.said) == (20, 5, "")
    assert found.seconds == 5 * 4 * 25
    assert fit_budget(COSTS, 20, 5, 500.0) == found


@pytest.mark.parametrize(
    "budget, seeds, epochs",
    [(499, 4, 20), (400, 4, 20), (399, 3, 20), (299, 3, 19), (144, 3, 7)],
)
def test_seeds_go_first_then_epochs(budget, seeds, epochs):
    found = fit_budget(COSTS, epochs=20, seeds=5, budget=budget)
    assert (found.seeds, found.epochs) == (seeds, epochs)
    assert found.seconds <= budget
    assert found.names == tuple("abcd")
    assert f"4 of {epochs} epochs, {seeds} seeds" in found.said


def test_two_seeds_are_the_least_then_configurations_go():
    assert fit_budget(COSTS, 20, 5, 96.0).seeds == 2
    found = fit_budget(COSTS, 20, 5, 95.0)
    # Three of a third of the epochs, for there are no less of them now.
    assert (found.names, found.epochs, found.seeds) == (tuple("abc"), 7, 2)
    message = "`budget` must be 48s or more for 2 configurations"
    with pytest.raises(ValueError, match=message):
        fit_budget(COSTS, 20, 5, 47.0)
    assert fit_budget(COSTS, 20, 1, 60.0).seeds == 1


def test_the_bag_stays():
    costs = {name: Cost(0.0, 1.0) for name in ("base", "a", "b", "whole_bag")}
    found = fit_budget(costs, 3, 3, 6.0)
    assert found.names == ("base", "a", "whole_bag")
    assert fit_budget(costs, 3, 3, 4.0).names == ("base", "whole_bag")


def test_a_sequential_rule_keeps_its_seeds():
    found = fit_budget(COSTS, 20, 30, 400.0, sequential=True)
    assert (found.epochs, found.seeds) == (15, 30)
    assert found.seconds == 400.0 and "until the time is up" in found.said


@pytest.mark.parametrize(
    "text, seconds",
    [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)],
)
def test_times(text, seconds):
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["2", "h", "-1h", "0m", "1w", "nanh", "infh"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="`budget` must be a time such as"):
        read_budget(text)


def test_the_time_that_is_left():
    budget = Budget(100.0, {"a": 30.0, "b": 50.0})
    assert budget.of("c") == 40.0
    assert budget.left(["a", "c"]) == 70.0
    assert budget.allows("a") and budget.allows("c")
    assert not Budget(20.0, {"a": 30.0}).allows("b")
    assert Budget().left(["a"]) is None and Budget().allows("a")


def test_some_steps_are_timed():
    base = Recipe.preset(
        "baseline", epochs=4, width=2, batch_size=64, train_samples=320
    )
    costs = measure_sweep(make_sweep(base, ["cosine", "mixup"]), steps=2)
    assert list(costs) == ["baseline", "cosine", "mixup", "whole_bag"]
    longest = max(costs["baseline"].epoch, costs["whole_bag"].epoch)
    assert costs["cosine"].epoch == costs["mixup"].epoch == longest
    assert all(cost.epoch > 0 and cost.start >= 0 for cost in costs.values())
