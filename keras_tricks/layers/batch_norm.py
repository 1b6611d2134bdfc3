from typing import Any

import keras
from keras import ops

from keras_tricks._backend.batch_norm import find_kernels
from keras_tricks._types import Tensor


@keras.saving.register_keras_serializable("keras_tricks")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch norm by the fused kernels of PyTorch and TensorFlow.

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`

    with mean and biased variance of the batch in training, which move the
    statistics that inference uses:

    `moving = momentum * moving + (1 - momentum) * batch`

    It is `keras.layers.BatchNormalization` in all but speed and digits:
    arguments, variables, names, statistics and masks are the same, and the
    weights of either load into the other. Core Keras composes it of several
    passes over float32 copies of the activations, and on PyTorch its variance,
    `mean(x**2) - mean(x)**2`, loses its digits where the mean is large. Here
    float16 and bfloat16 activations are read as they are, statistics and
    parameters stay float32, and the variance is that of differences. Core
    Keras' own passes are used on JAX and in other programs of XLA, which fuses
    them, on TensorFlow with channels first, and with masks, `renorm` or
    `synchronized`.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Example:
    >>> norm = BatchNormalization(momentum=0.9)
    >>> y = norm(np.array([[1.0], [3.0]]), training=True)
    >>> keras.ops.convert_to_numpy(y).round(2).tolist()
    [[-1.0], [1.0]]

    Reference:
        - [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167)
    """

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor = None
    ) -> Tensor:
        kernels = find_kernels(inputs, self.axis)
        # Keras 3.13 has no `renorm`.
        own = getattr(self, "renorm", False) or self.synchronized
        if kernels is None or own or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        gamma, beta, moving_mean, moving_variance = (
            None if variable is None else ops.convert_to_tensor(variable)
            for variable in (
                self.gamma,
                self.beta,
                self.moving_mean,
                self.moving_variance,
            )
        )
        affine = gamma, beta, self.axis, self.epsilon
        if not (training and self.trainable):
            outputs = kernels.normalize(
                inputs, moving_mean, moving_variance, *affine, constant=True
            )
            return ops.cast(outputs, self.compute_dtype)
        if "_moments" in vars(self):  # Of replicas, which combine theirs.
            mean, variance = self._moments(inputs, None)
            outputs = kernels.normalize(
                inputs, mean, variance, *affine, constant=False
            )
        else:
            outputs, mean, variance = kernels.batch_norm(inputs, *affine)
        for moving, old, new in (
            (self.moving_mean, moving_mean, mean),
            (self.moving_variance, moving_variance, variance),
        ):
            new = ops.cast(new, old.dtype)
            moving.assign(old * self.momentum + new * (1 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        kernels = find_kernels(inputs, self.axis)
        if kernels is None or mask is not None or self.synchronized:
            return super()._moments(inputs, mask)
        return kernels.moments(inputs, self.axis)
