"""The same few operations for each family of arrays."""

import functools

import keras
import numpy as np

from keras_tricks._backend.arrays import (
    is_tf_tensor,
    is_torch_tensor,
    torch_worker,
)


class NumPyArrays:
    """Arrays of NumPy, which are copied as little as can be."""

    def convert(self, x):
        """Convert a tensor of another family."""
        if is_tf_tensor(x):
            return x.numpy()
        if is_torch_tensor(x):
            return x.detach().cpu().numpy()
        return keras.ops.convert_to_numpy(x)

    def float32(self, x):
        """Cast to float32."""
        return np.asarray(x, "float32")

    def reshape(self, x, shape):
        """Give another shape to the same values."""
        return np.reshape(x, shape)

    def take(self, x, rows):
        """Take rows, entries of the first axis."""
        return np.take(x, rows, axis=0)

    def reverse(self, x):
        """Reverse the last axis."""
        return x[..., ::-1]

    def concatenate(self, xs):
        """Concatenate along the last axis."""
        return np.concatenate(xs, axis=-1)

    def where(self, condition, x, y):
        """Choose between the values of two arrays."""
        return np.where(condition, x, y)

    def zeros_like(self, x):
        """Give zeros of the same shape and dtype."""
        return np.zeros_like(x)

    def sum(self, x):
        """Sum the last axis in float32."""
        return np.sum(x, axis=-1, dtype="float32")

    def max(self, x):
        """Take the largest value of the last axis, which is kept."""
        return np.max(x, axis=-1, keepdims=True)

    def any(self, x, axis=None):
        """Tell whether any value is true, over all axes or one."""
        return np.any(x, axis=axis)

    def first(self, x, condition):
        """Take the first entry of `x` for which a condition is true.

        Args:
            x: Shape of the condition, then any other axes.
            condition: Booleans.
        """
        rest = tuple(x.shape[len(condition.shape) :])
        index = self.argmax(self.reshape(condition, (-1,)))
        return self.take(self.reshape(x, (-1, *rest)), index)

    def argmax(self, x):
        """Return the index of the first true value of one axis."""
        return np.argmax(x)

    def one_hot(self, x, k):
        """Encode integers in float32; one out of range gives NaN or raises."""
        return np.eye(k, dtype="float32")[np.asarray(x, "int64")]

    def blend(self, x, other, weight):
        """Compute `weight * x + (1 - weight) * other` in float32."""
        blended = np.multiply(x, weight, dtype="float32")
        blended += np.multiply(other, 1 - weight, dtype="float32")
        return blended

    def length(self, x):
        """Return the size of the first axis."""
        return len(x)

    def is_one(self, x):
        """Return whether all values are 1."""
        return bool((x == 1).all())

    def cond(self, condition, if_true, if_false):
        """Call one of two functions."""
        return if_true() if condition else if_false()

    def numpy_function(self, function, args, results):
        """Call a function of NumPy values, in a graph when that runs.

        Args:
            function: Takes NumPy values, returns a tuple of arrays.
            args: Integers or integer tensors.
            results: The static shape and the dtype of each result.
        """
        return function(*args)


class KerasArrays(NumPyArrays):
    """Tensors of the Keras backend; what is drawn for them is NumPy's."""

    def convert(self, x):
        return keras.ops.convert_to_tensor(x)

    def float32(self, x):
        return keras.ops.convert_to_tensor(x, "float32")

    def reshape(self, x, shape):
        return keras.ops.reshape(x, shape)

    def take(self, x, rows):
        return keras.ops.take(x, rows, axis=0)

    def reverse(self, x):
        return keras.ops.flip(x, axis=-1)

    def concatenate(self, xs):
        return keras.ops.concatenate(xs, axis=-1)

    def where(self, condition, x, y):
        return keras.ops.where(condition, x, y)

    def zeros_like(self, x):
        return keras.ops.zeros_like(x)

    def sum(self, x):
        return keras.ops.sum(self.float32(x), axis=-1)

    def max(self, x):
        return keras.ops.amax(x, axis=-1, keepdims=True)

    def any(self, x, axis=None):
        return keras.ops.any(x, axis=axis)

    def argmax(self, x):
        return keras.ops.argmax(keras.ops.cast(x, "int32"))

    def one_hot(self, x, k):
        ids = keras.ops.cast(x, "int32")
        one_hot = keras.ops.one_hot(ids, k, dtype="float32")
        return _nan_outside(one_hot, x, k, self)

    def blend(self, x, other, weight):
        first = weight * self.float32(x)
        return first + (1.0 - weight) * self.float32(other)


class TensorFlowArrays(KerasArrays):
    """Tensors of TensorFlow on any backend, in the graphs of tf.data too."""

    def __init__(self):
        import tensorflow as tf

        self.tf = tf

    def convert(self, x):
        return self.tf.convert_to_tensor(x)

    def float32(self, x):
        return self.tf.cast(x, "float32")

    def reshape(self, x, shape):
        return self.tf.reshape(x, shape)

    def take(self, x, rows):
        return self.tf.gather(x, rows)

    def reverse(self, x):
        return self.tf.reverse(x, [-1])

    def concatenate(self, xs):
        return self.tf.concat(xs, axis=-1)

    def where(self, condition, x, y):
        return self.tf.where(condition, x, y)

    def zeros_like(self, x):
        return self.tf.zeros_like(x)

    def sum(self, x):
        return self.tf.reduce_sum(self.float32(x), axis=-1)

    def max(self, x):
        return self.tf.reduce_max(x, axis=-1, keepdims=True)

    def any(self, x, axis=None):
        return self.tf.reduce_any(x, axis=axis)

    def argmax(self, x):
        return self.tf.argmax(self.tf.cast(x, "int32"))

    def one_hot(self, x, k):
        one_hot = self.tf.one_hot(self.tf.cast(x, "int32"), k, dtype="float32")
        return _nan_outside(one_hot, x, k, self)

    def length(self, x):
        return self.tf.shape(x)[0]

    def is_one(self, x):
        return self.tf.reduce_all(x == 1.0)

    def cond(self, condition, if_true, if_false):
        return self.tf.cond(condition, if_true, if_false)

    def numpy_function(self, function, args, results):
        tf = self.tf
        args = [tf.cast(arg, "int64") for arg in args]
        shapes, dtypes = zip(*results, strict=True)
        # One result comes without a list, if it is computed at once.
        values = tf.nest.flatten(tf.numpy_function(function, args, dtypes))
        return [
            tf.ensure_shape(value, shape)
            for value, shape in zip(values, shapes, strict=True)
        ]


class TorchArrays(NumPyArrays):
    """Tensors of torch as data: those of a `DataLoader`, on any backend.

    They stay on their device, which in a worker process must be the CPU.
    """

    def __init__(self):
        import torch

        self.torch = torch

    def convert(self, x):
        if not is_torch_tensor(x):
            x = self.torch.from_numpy(np.array(x))
        return x

    def float32(self, x):
        return self.convert(x).to(self.torch.float32)

    def reshape(self, x, shape):
        return self.convert(x).reshape(shape)

    def take(self, x, rows):
        rows = self.torch.as_tensor(rows, dtype=self.torch.int64)
        return x[rows.to(x.device)]

    def reverse(self, x):
        return x.flip(-1)

    def concatenate(self, xs):
        return self.torch.cat(list(xs), dim=-1)

    def where(self, condition, x, y):
        return self.torch.where(condition.to(x.device), x, y)

    def zeros_like(self, x):
        return self.torch.zeros_like(x)

    def sum(self, x):
        return self.float32(x).sum(-1)

    def max(self, x):
        return x.amax(-1, keepdim=True)

    def any(self, x, axis=None):
        return x.any() if axis is None else x.any(axis)

    def argmax(self, x):
        return x.to(self.torch.uint8).argmax()

    def one_hot(self, x, k):
        one_hot = self.torch.nn.functional.one_hot(x.to(self.torch.int64), k)
        return self.float32(one_hot)

    def blend(self, x, other, weight):
        weight = weight.to(x.device)
        return weight * self.float32(x) + (1 - weight) * self.float32(other)


def _nan_outside(one_hot, x, k, arrays):
    """Make NaN of the rows of labels out of range: none must get lost."""
    inside = (x >= 0) & (x < k)
    return arrays.where(inside[..., None], one_hot, float("nan"))


_NUMPY = NumPyArrays()
_KERAS = KerasArrays()
_tensorflow = functools.cache(TensorFlowArrays)
_torch = functools.cache(TorchArrays)


def array_ops(x) -> NumPyArrays:
    """Return the operations of the family that an array belongs to.

    Args:
        x: Array or tensor; anything else belongs to NumPy.

    Returns:
        The one object with the methods of `NumPyArrays` for this family.

    Example:
    >>> array_ops(np.zeros(2)).take(np.array([5, 7, 9]), [2, 0]).tolist()
    [9, 5]
    """
    if is_tf_tensor(x):
        return _tensorflow()
    if is_torch_tensor(x):
        is_data = keras.backend.backend() != "torch" or torch_worker()
        return _torch() if is_data else _KERAS
    return _KERAS if keras.ops.is_tensor(x) else _NUMPY


def as_array(x, like=None):
    """Return a tensor as it is and anything else as a NumPy array.

    Args:
        x: Array, tensor or nested list.
        like: If given, the result is of the same family as this array.
    """
    if not (is_tf_tensor(x) or is_torch_tensor(x) or keras.ops.is_tensor(x)):
        x = np.asarray(x)
    if like is None or array_ops(x) is array_ops(like):
        return x
    return array_ops(like).convert(x)
