"""Each family of arrays computes the same, and stays in its family."""

import keras
import numpy as np
import pytest

from keras_tricks._backend import array_ops, as_array
from keras_tricks.losses import pack_targets

VALUES = np.arange(12, dtype="float32").reshape(3, 4)


def tensorflow(x):
    return pytest.importorskip("tensorflow").convert_to_tensor(x)


def torch(x):
    return pytest.importorskip("torch").as_tensor(x)


@pytest.fixture(
    params=[np.asarray, keras.ops.convert_to_tensor, tensorflow, torch],
    ids=["numpy", "keras", "tensorflow", "torch"],
)
def make(request):
    return request.param


def check(result, make, expected):
    assert array_ops(result) is array_ops(make(VALUES))
    result = as_array(result, like=VALUES)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == "float32"


def test_take_gives_rows(make):
    rows = [2, 0, 2]
    x = make(VALUES)
    check(array_ops(x).take(x, rows), make, VALUES[rows])


def test_reverse_and_concatenate_work_on_the_last_axis(make):
    x = make(VALUES)
    check(array_ops(x).reverse(x), make, VALUES[:, ::-1])
    check(array_ops(x).concatenate([x, x]), make, np.hstack([VALUES, VALUES]))


def test_largest_values_and_zeros(make):
    x = make(-VALUES)
    check(array_ops(x).max(x), make, -VALUES[:, :1])
    check(array_ops(x).zeros_like(x), make, 0 * VALUES)


def test_targets_are_packed_and_checked_in_every_family(make):
    labels, logits = make(np.array([1, 0])), make(VALUES[:2, :2])
    packed = pack_targets(labels, logits)
    check(packed, make, [[0, 1, -1, 0], [1, 0, -1, 0]])
    with pytest.raises(ValueError, match="from 0 to 1. Received: 2"):
        pack_targets(make(np.array([1, 2])), logits)
    with pytest.raises(ValueError, match="must be logits, without softmax"):
        pack_targets(labels, make(np.full((2, 2), 0.5, "float32")))


def test_blend_in_float32_of_bytes(make):
    x = make(VALUES.astype("uint8"))
    weight = array_ops(x).float32(np.array([[0.25], [1.0], [0.0]]))
    blended = array_ops(x).blend(x, array_ops(x).take(x, [1, 2, 0]), weight)
    share = np.array([[0.25], [1.0], [0.0]])
    check(blended, make, share * VALUES + (1 - share) * VALUES[[1, 2, 0]])


def test_one_hot_loses_no_label(make):
    labels = make(np.array([1, 0]))
    check(array_ops(labels).one_hot(labels, 2), make, [[0, 1], [1, 0]])
    labels = make(np.array([1, 2]))
    try:
        result = array_ops(labels).one_hot(labels, 2)
    except (IndexError, RuntimeError):
        return
    assert np.isnan(as_array(result, like=VALUES)[1]).all()


def test_numpy_function_takes_integers_of_any_family(make):
    x = make(VALUES)
    (result,) = array_ops(x).numpy_function(
        lambda a, b: (np.full(2, a + b, "int32"),), (3, 4), [((2,), "int32")]
    )
    np.testing.assert_array_equal(np.asarray(result), [7, 7])


def test_as_array_of_another_family(make):
    like = make(VALUES)
    for x in (VALUES, keras.ops.convert_to_tensor(VALUES), VALUES.tolist()):
        result = as_array(x, like=like)
        assert array_ops(result) is array_ops(like)
        np.testing.assert_array_equal(as_array(result, like=VALUES), VALUES)
