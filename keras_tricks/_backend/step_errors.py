"""Errors of values that are known only when a compiled step runs."""

import keras
import numpy as np

from keras_tricks._backend.array_families import array_ops
from keras_tricks._backend.arrays import concrete, is_tf_tensor


def fail_if(wrong, message, values) -> None:
    """Let the step that computes `wrong` fail where one of it is true.

    In a step that is not compiled it is known at once. In one that is,
    TensorFlow asserts, which XLA leaves out. JAX calls back, in that case
    alone; a program that may do so cannot be kept in JAX's compilation cache,
    so it does not where there is one. PyTorch does nothing: it would have to
    wait for the device in each step.

    Args:
        wrong: Booleans of shape `(N, ...)`.
        message: What the values must be, up to the value received.
        values: The values, of shape `(N, ..., ...)`.

    Raises:
        ValueError: In a step that is not compiled.
    """
    known = concrete(wrong)
    if known is not None:
        if known.any():
            # Of a differentiated value, which JAX would not show.
            values = concrete(keras.ops.stop_gradient(values))
            raise ValueError(f"{message} {_first(values, known)}")
    elif is_tf_tensor(wrong):
        import tensorflow as tf

        received = array_ops(values).first(values, wrong)
        fine = tf.logical_not(tf.reduce_any(wrong))
        tf.debugging.Assert(fine, [message, received])
    elif keras.backend.backend() == "jax":
        import jax

        if jax.config.jax_compilation_cache_dir is None:
            _call_back(jax, wrong, message, values)


def _first(values, wrong):
    return array_ops(values).first(values, wrong).tolist()


def _call_back(jax, wrong, message, values):
    def fail(is_wrong, received):
        # Where `vmap` turns the condition into a choice, both sides run.
        if is_wrong:
            raise ValueError(f"{message} {np.asarray(received).tolist()}")

    is_wrong = keras.ops.any(wrong)
    received = array_ops(values).first(values, wrong)
    jax.lax.cond(
        is_wrong,
        lambda: jax.debug.callback(fail, is_wrong, received),
        lambda: None,
    )
