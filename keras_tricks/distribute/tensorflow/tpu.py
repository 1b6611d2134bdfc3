"""The cores of a TPU on TensorFlow."""

import functools

import keras

from keras_tricks.distribute.base import refuse_mixing_on_device
from keras_tricks.distribute.local_batches import LocalBatches
from keras_tricks.distribute.tensorflow import keras_patches
from keras_tricks.distribute.tensorflow.datasets import distribute_parts
from keras_tricks.distribute.tensorflow.mirrored import Mirrored
from keras_tricks.distribute.tensorflow.padded_batches import (
    PaddedBatches,
    count_real_rows,
    cut_predictions,
)


class TPU(Mirrored):
    """`tf.distribute.TPUStrategy` over the cores of one TPU host.

    As `Mirrored`. XLA compiles every step for one shape, so that incomplete
    batches of `evaluate` and `predict` are filled up with rows that count
    nothing, and training must drop the remainder. The low precision is
    `mixed_bfloat16`. Pods of several hosts, which cannot read batches of this
    process, are for JAX: `"jax_multi"`.

    Never run on a TPU; what is known is that the steps compile with XLA.

    Args:
        name: Name or address of the TPU; `"local"` for that of this machine.
        norm: `"sync"` (default) or `"local"`, see
            `keras_tricks.distribute.distribute`.

    Raises:
        ValueError: If there is no such TPU.

    Example:
    >>> TPU.name
    'tpu'
    """

    name = "tpu"

    def __init__(self, name: str = "local", norm: str = "sync"):
        self.tpu = name
        self._use(_strategy(name), norm)

    def prepare(self, model: keras.Model) -> keras.Model:
        self._check_model(model)
        keras_patches.predict_in_order(model, self.strategy)
        self._prepare_replicas(model)  # Of one core too: shapes are fixed.
        cut_predictions(model)
        return model

    def _take_incomplete_batches(self, model):
        count_real_rows(model)

    def _check_model(self, model):
        if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "`optimizer` must not scale the loss on a TPU, which has "
                "bfloat16 and no float16: use mixed_bfloat16. "
                "Received: LossScaleOptimizer"
            )
        super()._check_model(model)

    def batches(self, x):
        refuse_mixing_on_device(x)
        local = LocalBatches(x, self.shard)
        self.check_batch_size(local.batch_size)
        if not _all_whole(local):
            local = PaddedBatches(local)
        return distribute_parts(
            self.strategy, local, self.num_replicas, static=True
        )

    def describe(self) -> str:
        return (
            f"{self.name}: {self.num_replicas} cores of {self.tpu}, "
            f"{self._norm_in_words()}"
        )


def _all_whole(batches):
    """Return whether every batch has all of its rows."""
    drops_remainder = getattr(batches.original, "drop_remainder", None)
    if drops_remainder is not None:  # Bad records can shorten any other batch.
        return drops_remainder
    last = batches.batch(batches.epoch, len(batches) - 1)
    return len(keras.tree.flatten(last)[0]) == batches.batch_size


@functools.cache
def _strategy(name):
    """Return one strategy for a TPU, which must be set up but once."""
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f'`spec` "tpu" needs a TPU ({reason}). '
            f"Received: {name!r}; `none` trains on one device"
        ) from None
    return tf.distribute.TPUStrategy(resolver)
