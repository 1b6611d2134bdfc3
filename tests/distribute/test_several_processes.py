"""Two processes do right what goes wrong in them otherwise."""

import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_tricks.distribute import distribute

from . import several
from .test_trajectories import PROCESSES
from .training import (
    BACKEND,
    THREADS,
    free_ports,
    process_environments,
    run_processes,
    time_limit,
)

SPEC = PROCESSES[BACKEND]


@pytest.fixture(scope="module")
def found():
    code = f"import several; print(json.dumps(several.results({SPEC!r})))"
    return run_processes(code)


@pytest.fixture(scope="module")
def alone():
    one = several.start("none")
    compared = (
        several.clipping,
        several.summed,
        several.validation,
        several.streamed,
    )
    return {function.__name__: function(one) for function in compared}


def test_all_processes_know_and_have_the_same(found):
    for index, result in enumerate(found):
        gathered, flag, no_flag, shard, text = result.pop("together")
        assert gathered == [{"process": 0}, {"process": 1}]
        assert (flag, no_flag, shard) == (True, False, [index, 2])
        assert result.pop("together again") == [True, False]
        assert text.startswith(f"{SPEC}: 2 ")
        assert text.endswith("batch norm over all of them")
    first, second = (
        {k: v for k, v in result.items() if k not in ("stock", "dropout")}
        for result in found
    )
    first.pop("uneven_training", None), second.pop("uneven_training", None)
    assert first == second


def test_without_preparation_it_goes_wrong(found):
    first, second = (result["stock"] for result in found)
    if BACKEND == "torch":
        if hasattr(keras.Model(), "ddp_model"):  # Keras averages, from 3.16.
            assert first == second
            return
        # Each trains alone.
        assert not np.allclose(first, second, rtol=1e-3)
        return
    error = {"tensorflow": "ValueError", "jax": "RuntimeError"}[BACKEND]
    assert first.startswith(error)
    assert second.startswith(error)


def test_gradients_are_clipped_after_their_sum(found, alone):
    for result in found:
        np.testing.assert_allclose(
            result["clipping"], alone["clipping"], rtol=2e-6
        )


def test_batches_may_be_of_another_kind(found):
    for result in found:
        assert result["foreign"] == result["clipping"]


def test_an_engine_imports_the_patches_of_its_backend_alone(found):
    for result in found:
        patches = f"keras_tricks.distribute.{BACKEND}.keras_patches"
        assert result["patches"] == [patches]


def test_other_machines_reach_no_port(found):
    assert [result["open_ports"] for result in found] == [[], []]


def test_a_loss_may_be_a_sum(found, alone):
    for result in found:
        np.testing.assert_allclose(result["summed"], alone["summed"], rtol=2e-6)


def test_metrics_go_on_counting_where_they_were(found):
    for result in found:
        before, cleared, after, moved = result["counts"]
        assert after == before
        assert np.sum(cleared) == 0
        # On TensorFlow each replica counts for itself.
        holders = 2 if BACKEND == "tensorflow" else 1
        assert [len(array) for array in before] == [holders] * len(before)
        totals = np.sum(before, 1)
        assert totals.min() > 0
        np.testing.assert_allclose(np.sum(moved, 1), totals, rtol=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="sees the whole batch")
def test_losses_of_one_value_are_refused(found):
    for result in found:
        text = result["scalar_loss"]
        assert "`loss` must return a value for each sample" in text


@pytest.mark.skipif(BACKEND == "jax", reason="refuses other seeds loudly")
def test_processes_begin_with_the_same_weights(found):
    first, second = (result["other_seeds"] for result in found)
    assert first == second
    assert np.abs(first).min() > 0


def test_an_overflow_in_the_last_process_skips_the_update_in_all(found):
    for result in found:
        assert result["overflow"] == [[1.0, 1.0, 1.0], [512.0]]


def test_processes_drop_different_units(found):
    for result in found:
        pulled = np.array(result["dropout"])
        np.testing.assert_allclose(pulled, np.round(pulled), atol=1e-5)
        assert set(np.round(pulled)) == {0.0, 1.0, 2.0}
        # Kept in one process and not in the other.
        assert 0.3 < (np.round(pulled) == 1).mean() < 0.7


def test_validation_counts_every_row(found, alone):
    for result in found:
        assert result["validation"].keys() == alone["validation"].keys()
        for name, values in alone["validation"].items():
            np.testing.assert_allclose(
                result["validation"][name], values, rtol=2e-6, err_msg=name
            )


def test_images_that_each_process_reads_count_once_and_keep_their_order(
    found, alone
):
    """Of the last batch one has none; bad ones leave it too few for others."""
    for result in found:
        *evaluated, predicted = result["streamed"]
        *expected, in_order = alone["streamed"]
        for ours, theirs in zip(evaluated, expected, strict=True):
            assert ours.keys() == theirs.keys()
            for name, value in theirs.items():
                np.testing.assert_allclose(
                    ours[name], value, rtol=2e-6, err_msg=name
                )
        np.testing.assert_allclose(predicted, in_order, rtol=2e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="sees the whole batch")
def test_local_statistics_are_averaged(found):
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    parts = x.reshape(2, 4, 3)
    for result in found:
        mean, variance = result["moving_statistics"]
        np.testing.assert_allclose(mean, parts.mean((0, 1)), atol=1e-6)
        expected = parts.var(1).mean(0)
        np.testing.assert_allclose(variance, expected, rtol=1e-5)
        assert not np.allclose(variance, x.var(0), rtol=1e-2)


@pytest.mark.skipif(BACKEND == "jax", reason="computes it whole")
def test_uneven_batches_of_training_are_refused(found):
    for result in found:
        text = result["uneven_training"]
        assert "Batches of training must split evenly" in text


def test_refusals(found):
    for result in found:
        mixed, size, array = result["refusals"]
        assert mixed.startswith('ValueError: `finish_on` must be "host" with')
        assert size.startswith("ValueError: `batch_size` must be a multiple")
        assert array.startswith("ValueError: `x` must be batches of `keras_t")
        assert array.endswith("Received: ndarray")


def test_without_processes_the_engine_is_refused():
    if BACKEND == "jax":
        with pytest.raises(ValueError, match='`norm` must be "sync" on JAX'):
            distribute("jax", norm="local")
        return
    with pytest.raises(ValueError, match=f'`spec` "{SPEC}" needs'):
        distribute(SPEC)


def test_a_process_that_dies_is_noticed():
    # Never longer than this; a survivor that hangs is a failure.
    limit = time_limit(90)
    code = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from training import *
from keras_tricks.distribute import distribute
distribution = distribute({SPEC!r})
distribution.any(False)
print("met", flush=True)
while True:
    distribution.any(False)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "KERAS_BACKEND": keras.backend.backend(),
                **THREADS,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for environment in process_environments(free_ports(2))
    ]
    try:
        for process in processes:
            # JAX says who is there, too.
            assert "met\n" in iter(process.stdout.readline, "")
        time.sleep(0.5)
        processes[1].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        assert processes[0].wait(limit) != 0
        print(f"noticed after {time.monotonic() - begin:.1f} s")
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
