"""Labels in range, checked now or in a TensorFlow graph."""

import numpy as np

from keras_tricks._backend.array_families import as_array
from keras_tricks._backend.arrays import is_tf_tensor
from keras_tricks._checks import labels_outside


def check_label_range(labels, num_classes):
    """Return integer labels, checked to be in 0 ... `num_classes` - 1.

    Raises:
        ValueError: If a label is out of range; in a TensorFlow graph,
            `tf.errors.InvalidArgumentError` at run time.
    """
    expected = f"Argument `labels` must be in 0 ... {num_classes - 1}. Received"
    if is_tf_tensor(labels) and not hasattr(labels, "numpy"):
        import tensorflow as tf

        ids = tf.cast(labels, "int64")
        checks = [
            tf.debugging.assert_non_negative(ids, expected),
            tf.debugging.assert_less(
                ids, tf.constant(num_classes, "int64"), expected
            ),
        ]
        with tf.control_dependencies(checks):
            return tf.identity(ids)
    values = as_array(labels, like=np.empty(0))
    if labels_outside(values, num_classes).any():
        raise ValueError(
            f"{expected}: labels from {values.min()} to {values.max()}"
        )
    if values.dtype == bool:
        return values.astype("int32")
    return labels
