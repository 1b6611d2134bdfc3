import warnings

import keras

from keras_tricks._model_facts.precision import compute_dtypes


class LossScaleLogger(keras.callbacks.Callback):
    """Logs the dynamic loss scale of float16 training as `loss_scale`.

    The value at the end of each epoch. It halves at every overflow and
    doubles after 2,000 steps without one, so a falling curve is a warning.
    Nothing is logged under an optimizer that does not scale the loss; if
    a layer computes in float16 all the same, a warning says so, because small
    gradients are then lost. Core Keras scales the loss only where the policy
    of the *model* is "mixed_float16".

    Example:
    >>> import keras_tricks
    >>> callback = keras_tricks.callbacks.LossScaleLogger()

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.2,
          low-precision training
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        scaled = _scales_loss(self.model.optimizer)
        if compute_dtypes(self.model)["float16"] and not scaled:
            warnings.warn(
                "The model computes in float16 without loss scaling: small "
                "gradients will be lost. Compile with a "
                "keras.optimizers.LossScaleOptimizer around the optimizer.",
                stacklevel=2,
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        optimizer = self.model.optimizer
        if logs is not None and _scales_loss(optimizer):
            scale = keras.ops.convert_to_tensor(optimizer.dynamic_scale)
            logs["loss_scale"] = float(keras.ops.convert_to_numpy(scale))


def _scales_loss(optimizer):
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
