"""Arrays: those of NumPy, of TensorFlow (on any backend), of the backend."""

import functools
import sys
from types import SimpleNamespace

import keras
import numpy as np


def is_tf_tensor(x) -> bool:
    """Whether `x` is a TensorFlow tensor, without importing TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.Tensor)


def is_symbolic(x) -> bool:
    """Whether `x` has no value yet: a KerasTensor or a JAX tracer."""
    if isinstance(x, keras.KerasTensor):
        return True
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def concrete(x):
    """The values of `x` as a NumPy array if they can be read.

    Only PyTorch trains without compiling the step, so only there an
    accelerator would be waited for at each step: see `on_host`.

    Args:
        x: Array or tensor.

    Returns:
        An array, or None for symbolic tensors, and for tensors of torch on
        another device than the CPU.
    """
    if is_symbolic(x):
        return None
    if is_tf_tensor(x):
        return x.numpy() if hasattr(x, "numpy") else None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return None
        x = x.detach()
        return x.float().numpy() if x.is_floating_point() else x.numpy()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(x, jax.Array):
        return np.asarray(x) if x.is_fully_addressable else None
    return np.asarray(x)


def on_host(x):
    """Copies a tensor of torch to the CPU, which waits for an accelerator.

    Args:
        x: Array or tensor.

    Returns:
        The copy; `x` itself on other backends, and without values.
    """
    return x.detach().cpu() if _is_torch_with_values(x) else x


def _is_torch_with_values(x):
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and isinstance(x, torch.Tensor)
        and x.device.type != "meta"
        and not torch.compiler.is_compiling()
    )


def as_array(x, like=None):
    """Returns a tensor as it is and anything else as a NumPy array.

    Args:
        x: Array, tensor or nested list.
        like: If given, the result is of the same family as this array.
    """
    if not (is_tf_tensor(x) or keras.ops.is_tensor(x)):
        x = np.asarray(x)
    if like is None or array_ops(x) is array_ops(like):
        return x
    if isinstance(like, np.ndarray):
        return (
            keras.ops.convert_to_numpy(x)
            if array_ops(x) is _KERAS
            else (x.numpy())
        )
    if is_tf_tensor(like):
        import tensorflow as tf

        return tf.convert_to_tensor(x)
    return keras.ops.convert_to_tensor(x)


def array_ops(x):
    """Returns the few operations of the library that `x` belongs to.

    Each has `name`, `float32`, `reshape`, `take` (rows), `one_hot` (float32;
    an integer out of range gives NaN or raises), `concatenate` (last axis),
    `where`, `length`, `is_one` (all of it) and `cond`.
    """
    if isinstance(x, np.ndarray) or not (
        is_tf_tensor(x) or keras.ops.is_tensor(x)
    ):
        return _NUMPY
    return _tf_ops() if is_tf_tensor(x) else _KERAS


def _choose(condition, if_true, if_false):
    return if_true() if condition else if_false()


def _nan_outside(one_hot, x, k, where):
    """Rows of labels out of range become NaN: they must not get lost."""
    inside = (x >= 0) & (x < k)
    return where(inside[..., None], one_hot, float("nan"))


_NUMPY = SimpleNamespace(
    name="numpy",
    float32=lambda x: np.asarray(x, "float32"),
    reshape=np.reshape,
    one_hot=lambda x, k: np.eye(k, dtype="float32")[np.asarray(x, "int64")],
    concatenate=lambda xs: np.concatenate(xs, axis=-1),
    where=np.where,
    length=len,
    is_one=lambda x: bool((x == 1).all()),
    cond=_choose,
)
_KERAS = SimpleNamespace(
    name="keras",
    float32=lambda x: keras.ops.convert_to_tensor(x, "float32"),
    reshape=keras.ops.reshape,
    take=lambda x, rows: keras.ops.take(x, rows, axis=0),
    one_hot=lambda x, k: _nan_outside(
        keras.ops.one_hot(keras.ops.cast(x, "int32"), k, dtype="float32"),
        x,
        k,
        keras.ops.where,
    ),
    concatenate=lambda xs: keras.ops.concatenate(xs, axis=-1),
    where=keras.ops.where,
    length=len,
    is_one=_NUMPY.is_one,
    cond=_choose,
)


@functools.cache
def _tf_ops():
    import tensorflow as tf

    return SimpleNamespace(
        name="tensorflow",
        float32=lambda x: tf.cast(x, "float32"),
        reshape=tf.reshape,
        take=tf.gather,
        one_hot=lambda x, k: _nan_outside(
            tf.one_hot(tf.cast(x, "int32"), k, dtype="float32"), x, k, tf.where
        ),
        concatenate=lambda xs: tf.concat(xs, axis=-1),
        where=tf.where,
        length=lambda x: tf.shape(x)[0],
        is_one=lambda x: tf.reduce_all(x == 1.0),
        cond=tf.cond,
    )


def tf_numpy_function(function, args, results):
    """Runs a NumPy function in a TensorFlow graph, at run time.

    Args:
        function: Takes NumPy values, returns a tuple of arrays.
        args: Integers or integer tensors.
        results: The static shape and the dtype of each result.
    """
    import tensorflow as tf

    args = [tf.cast(arg, "int64") for arg in args]
    shapes, dtypes = zip(*results, strict=True)
    # One result comes without a list, if it is computed at once.
    values = tf.nest.flatten(tf.numpy_function(function, args, dtypes))
    return [tf.ensure_shape(v, s) for v, s in zip(values, shapes, strict=True)]
