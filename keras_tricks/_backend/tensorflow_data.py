"""TensorFlow for its data sets, whatever the backend."""

import contextlib
import sys

import keras


def is_tf_dataset(x) -> bool:
    """Say whether `x` is a `tf.data.Dataset`, without importing TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.data.Dataset)


def import_tensorflow_for_data():
    """Return TensorFlow, for tf.data alone where another backend runs.

    There it must not see the accelerators: it would take their memory.

    Raises:
        ImportError: If it is missing.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # It is in use already.
            tf.config.set_visible_devices([], "GPU")
            tf.config.set_visible_devices([], "TPU")
    return tf
