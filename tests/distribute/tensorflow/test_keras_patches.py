"""Each change to Keras is needed, and does what it says.

A test here that fails because plain Keras got something right says which
function of `keras_patches` can go.
"""

import numpy as np
import pytest

from ..training import BACKEND, run_with_devices

pytestmark = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="TensorFlow's replicas"
)


@pytest.fixture(scope="module")
def results():
    code = "import bugs; print(json.dumps(bugs.results()))"
    return run_with_devices(code, 2)


def check_fixed(found, error=None):
    """Plain Keras fails or differs from one device; ours does not."""
    if error is None:
        assert not np.allclose(found["stock"], found["alone"], rtol=1e-3)
    else:
        assert found["stock"].startswith(error)
    np.testing.assert_allclose(found["ours"], found["alone"], rtol=2e-6)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("steps_per_execution", "InvalidArgumentError"),
        ("uneven_first_batch", "InvalidArgumentError"),
        ("accumulation", "RuntimeError"),
        ("overwriting", "RuntimeError"),
        ("clipping", None),
        ("batch_norm", None),
    ],
)
def test_what_fails_or_differs_in_plain_keras(results, name, error):
    check_fixed(results[name], error)


def test_replicas_without_rows(results):
    found = results["empty_part"]
    assert found["stock"].startswith("InvalidArgumentError")
    assert np.shape(found["ours"][1]) == (5, 4)
    for ours, alone in zip(found["ours"], found["alone"], strict=True):
        np.testing.assert_allclose(ours, alone, rtol=2e-6)


def test_a_schedule_counts_updates_under_accumulation(results):
    # The rates after 2 updates of 4: of ours, and of Keras' SGD, which
    # counts the 4 batches.
    ours, keras_own = results["accumulation"]["ours"][-2:]
    assert ours == pytest.approx(0.05)
    assert keras_own == pytest.approx(0.0)


def test_losses_of_one_value_are_refused(results):
    found = results["scalar_loss"]
    # Twice the step: all that is subtracted from 1.
    stock, alone = 1 - np.array(found["stock"]), 1 - np.array(found["alone"])
    np.testing.assert_allclose(stock, 2 * alone, rtol=1e-4)
    assert found["ours"].startswith("ValueError: `loss` must return a value")


def test_an_overflow_on_the_last_replica_skips_the_update_on_all(results):
    found = results["overflow"]
    assert found["stock"] == [False, False, 1024.0]
    assert found["ours"] == found["alone"] == [True, True, 512.0]


def test_replicas_drop_different_units(results):
    found = {k: np.array(v) for k, v in results["dropout"].items()}
    first, second = found["stock"]
    assert np.array_equal(first, second)
    first, second = found["ours"]
    assert np.array_equal(first, found["alone"][0])
    assert 0.2 < (first != second).mean() < 0.8


def test_local_statistics_are_averaged(results):
    first, second = results["moving_mean"]["stock"]
    assert np.abs(np.subtract(first, second)).max() > 0.1
    ours = results["moving_mean"]["ours"]
    np.testing.assert_allclose(ours[0], np.add(first, second) / 2, atol=1e-6)
    assert ours[0] == ours[1]


def test_uneven_batches_of_training_are_refused(results):
    found = results["uneven_training"]
    assert not np.allclose(found["stock"], found["alone"], rtol=1e-3)
    assert "Batches of training must split evenly" in found["ours"]


def test_an_optimizer_with_an_update_of_its_own(results):
    alone, ours = results["nadam"]["alone"], results["nadam"]["ours"]
    np.testing.assert_allclose(ours[0], alone[0], rtol=2e-6)
    assert "`gradient_accumulation_steps` must be None" in ours[1]


def test_a_distiller_trains_as_on_one_device(results):
    found = results["distiller"]
    np.testing.assert_allclose(found["ours"], found["alone"], rtol=1e-5)


def test_what_is_saved_is_a_plain_model(results):
    synchronized, same_config, difference = results["saving"]
    assert not synchronized
    assert same_config
    assert difference < 1e-5


def test_refusals(results):
    beginnings = [
        "ValueError: `model` must be compiled before",
        "ValueError: `model` must be made inside `scope()`",
        "ValueError: `optimizer` must be made inside `scope()`",
        'ValueError: `jit_compile` must be "auto" or False',
        'ValueError: `finish_on` must be "host" with mixup',
        "ValueError: `batch_size` must be a multiple of 2, 1 accumulated",
        "ValueError: `spec` must not ask for more devices than there are, 2",
        "mirrored: 2 devices (CPU:0, CPU:1), batch norm over all of them",
    ]
    for text, beginning in zip(results["refusals"], beginnings, strict=True):
        assert text.startswith(beginning)
