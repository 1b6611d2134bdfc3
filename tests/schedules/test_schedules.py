import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks import schedules


def cosine_reference(step, peak, total, end=0.0):
    t = min(step, total)
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * t / total))


def curve(schedule, steps):
    return np.array([float(schedule(step)) for step in range(steps)])


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("end", [0.0, 0.01])
def test_cosine_decay_against_float64(total, end):
    got = curve(schedules.CosineDecay(0.4, total, end), total + 5)
    want = [cosine_reference(s, 0.4, total, end) for s in range(total + 5)]
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert got[0] == pytest.approx(0.4)
    assert got[total] == got[-1] == pytest.approx(end, abs=1e-7)


def test_cosine_decay_of_a_real_run_length():
    total = 120 * 5004
    schedule = schedules.CosineDecay(0.1, total)
    for step in (0, 1, total // 3, total - 1, total, 10 * total):
        want = cosine_reference(step, 0.1, total)
        assert float(schedule(step)) == pytest.approx(want, abs=1e-7)


def test_step_decay_changes_at_its_boundaries():
    got = curve(schedules.StepDecay(0.1, [3, 4, 6]), 9)
    want = [0.1 * 0.1 ** sum(s >= b for b in (3, 4, 6)) for s in range(9)]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_step_decay_without_boundaries_is_constant():
    assert set(curve(schedules.StepDecay(0.5, []), 4)) == {0.5}


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_warmup_around_cosine(steps):
    total = 5
    schedule = schedules.Warmup(schedules.CosineDecay(0.4, total), steps)
    got = curve(schedule, steps + total + 3)
    ramp = [(i + 1) * 0.4 / steps for i in range(steps)]
    main = [cosine_reference(s, 0.4, total) for s in range(total + 3)]
    np.testing.assert_allclose(got, ramp + main, atol=1e-6)


def test_warmup_around_a_float_and_a_core_schedule():
    np.testing.assert_allclose(
        curve(schedules.Warmup(0.3, 3), 5), [0.1, 0.2, 0.3, 0.3, 0.3], rtol=1e-6
    )
    core = keras.optimizers.schedules.ExponentialDecay(0.8, 2, 0.5)
    np.testing.assert_allclose(
        curve(schedules.Warmup(core, 2), 5),
        [0.4, 0.8] + [0.8 * 0.5 ** (s / 2) for s in range(3)],
        rtol=1e-6,
    )


def test_warmup_may_fill_the_whole_run():
    schedule = schedules.Warmup(schedules.CosineDecay(1.0, 1), 4)
    np.testing.assert_allclose(
        curve(schedule, 6), [0.25, 0.5, 0.75, 1.0, 1.0, 0.0], atol=1e-6
    )


@settings(deadline=None, max_examples=30)
@given(
    warmup_steps=st.integers(0, 20),
    total=st.integers(1, 50),
    peak=st.floats(1e-3, 10),
)
def test_warmup_joins_without_a_jump_and_never_rises_after(
    warmup_steps, total, peak
):
    schedule = schedules.Warmup(
        schedules.CosineDecay(peak, total), warmup_steps
    )
    values = curve(schedule, warmup_steps + total + 3)
    assert values.max() <= peak * (1 + 1e-6)
    assert values[warmup_steps] == pytest.approx(peak, rel=1e-6)
    if warmup_steps:
        assert values[warmup_steps - 1] == pytest.approx(peak, rel=1e-6)
        assert values[0] > 0
    assert np.all(np.diff(values[warmup_steps:]) <= peak * 1e-6)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.CosineDecay(0.4, 10, 0.01),
        schedules.StepDecay(0.4, [2, 5], 0.5),
        schedules.Warmup(0.2, 3),
        schedules.Warmup(schedules.StepDecay(0.4, [2]), 3),
        schedules.Warmup(
            keras.optimizers.schedules.ExponentialDecay(0.8, 2, 0.5), 2
        ),
    ],
)
def test_schedules_survive_serialization(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    np.testing.assert_array_equal(curve(again, 15), curve(schedule, 15))


def test_schedule_drives_fit():
    schedule = schedules.Warmup(schedules.CosineDecay(0.1, 6), 2)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=2, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(
        cosine_reference(2, 0.1, 6), rel=1e-5
    )


def test_scale_learning_rate():
    assert schedules.scale_learning_rate(0.1, 256) == 0.1
    assert schedules.scale_learning_rate(0.1, 1024) == pytest.approx(0.4)
    assert schedules.scale_learning_rate(0.2, 64, 128) == pytest.approx(0.1)
    for scaling, want in (
        ("sqrt", 0.2 * 3),
        ("linear", 0.2 * 9),
        ("none", 0.2),
    ):
        rate = schedules.scale_learning_rate(0.2, 576, 64, scaling)
        assert rate == pytest.approx(want, rel=1e-15)
    with pytest.raises(ValueError, match="`scaling` must be one of.*'root'"):
        schedules.scale_learning_rate(0.2, 576, scaling="root")
