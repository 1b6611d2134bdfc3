"""Batches as `tf.distribute` wants them: a part for each replica."""

import numpy as np
from keras import tree

from keras_tricks.distribute.local_batches import LocalBatches


def distribute_parts(
    strategy,
    batches: LocalBatches,
    replicas: int,
    static: bool | None = None,
):
    """Return the batches of this process, cut for its replicas.

    Args:
        strategy: A `tf.distribute.Strategy`.
        batches: Of this process.
        replicas: Replicas in this process.
        static: Whether all parts have the same shape. Defaults to whether
            the batches drop the remainder.
    """
    import tensorflow as tf

    size = batches.batch_size // batches.shard[1] // replicas
    if static is None:
        static = getattr(batches.original, "drop_remainder", False)

    def parts():
        batches.on_epoch_begin()
        for step in range(len(batches)):
            batch = batches[step]
            for first in range(0, size * replicas, size):
                yield tree.map_structure(
                    lambda x, first=first: x[first : first + size], batch
                )
        batches.on_epoch_end()

    signature = tree.map_structure(
        lambda x: tf.TensorSpec(
            (size if static else None, *x.shape[1:]), x.dtype
        ),
        batches.batch(batches.epoch, 0),
    )

    def make(context):
        dataset = tf.data.Dataset.from_generator(
            parts, output_signature=signature
        )
        count = len(batches) * replicas
        count = tf.data.experimental.assert_cardinality(count)
        return dataset.apply(count).prefetch(replicas)

    distributed = strategy.distribute_datasets_from_function(make)
    # TensorFlow counts parts, which Keras would take for steps: it would try
    # one step more, of which some replicas count what needs no data.
    distributed._cardinality = np.int64(len(batches))
    return distributed
