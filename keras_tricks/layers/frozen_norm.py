from typing import Any

import keras

from keras_tricks._types import Tensor
from keras_tricks.layers.batch_norm import BatchNormalization


@keras.saving.register_keras_serializable("keras_tricks")
class FrozenBatchNormalization(BatchNormalization):
    """Batch norm that only ever uses the statistics it has.

    `y = gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta`

    In training too: it neither trains gamma and beta nor moves the
    statistics, and no `trainable = True` on the layer or its model can change
    that. Networks that are fine-tuned with few images per device, as in
    detection, keep the statistics of their pretraining so. The weights are
    those of `keras.layers.BatchNormalization`, in its order.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Example:
    >>> norm = FrozenBatchNormalization()
    >>> y = norm(np.array([[1.0], [3.0]]), training=True)
    >>> keras.ops.convert_to_numpy(y).round(2).tolist()
    [[1.0], [3.0]]
    >>> norm.trainable_variables
    []

    Reference:
        - [He et al., 2017](https://arxiv.org/abs/1703.06870), section 3.1
    """

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        return super().add_weight(*args, **{**kwargs, "trainable": False})

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor = None
    ) -> Tensor:
        return super().call(inputs, training=False, mask=mask)
