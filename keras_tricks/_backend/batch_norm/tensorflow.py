"""Batch normalization by TensorFlow's fused kernel."""

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext


def take(x, axis) -> bool:
    """Return whether the kernel takes a tensor: on CPUs with channels last.

    XLA's own form of the kernel has a variance that is a difference of
    squares, and is no faster than what XLA makes of core Keras' passes.
    """
    return (
        x.dtype in (tf.float32, tf.float16, tf.bfloat16)
        and axis in (-1, len(x.shape) - 1)
        and not GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    )


def batch_norm(x, gamma, beta, axis, epsilon):
    """Normalize by the statistics of the batch, and return these too."""
    rows, restore = _images(x)
    gamma, beta = _affine(x, gamma, beta)
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=rows,
        scale=gamma,
        offset=beta,
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
    )
    count = tf.cast(tf.size(rows) / tf.shape(rows)[-1], "float32")
    # The kernel divides by one less, and by one where there is but one.
    variance *= tf.maximum(count - 1, 1) / count
    return restore(y), mean, variance


def moments(x, axis):
    """Return mean and biased variance of each channel."""
    return tf.nn.moments(tf.cast(x, "float32"), list(range(len(x.shape) - 1)))


def normalize(x, mean, variance, gamma, beta, axis, epsilon, constant):
    """Normalize by given statistics, which have a gradient unless constant."""
    gamma, beta = _affine(x, gamma, beta)
    if not constant:
        x32 = tf.cast(x, "float32")
        y = tf.nn.batch_normalization(x32, mean, variance, beta, gamma, epsilon)
        return tf.cast(y, x.dtype)
    rows, restore = _images(x)
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=rows,
        scale=gamma,
        offset=beta,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    )
    return restore(y)


def _images(x):
    """View a tensor as images, and return what undoes it."""
    if len(x.shape) == 4:
        return x, lambda y: y
    rows = tf.reshape(x, (1, -1, 1, x.shape[-1]))
    return rows, lambda y: tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape)


def _affine(x, gamma, beta):
    channels = x.shape[-1]
    return (
        tf.ones(channels) if gamma is None else tf.cast(gamma, "float32"),
        tf.zeros(channels) if beta is None else tf.cast(beta, "float32"),
    )
