"""What PyTorch's own kernel and memory layout would gain, by patches.

To go, with the class `Trial` of `_contenders.py` and the flag `--trials`, as
soon as `keras_tricks.layers` has a fused batch norm and channels-last memory.
"""

import keras
import torch

from keras_tricks.layers import ConvNorm


def use_native_norm():
    """Let PyTorch normalize all batches, in channels-last memory."""
    call = ConvNorm.call

    def norm(self, inputs, training=None, mask=None):
        return torch.nn.functional.batch_norm(
            inputs,
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            bool(training and self.trainable),
            1 - self.momentum,
            self.epsilon,
        )

    def contiguous(self, inputs, training=None):
        memory = torch.channels_last
        return call(self, inputs.contiguous(memory_format=memory), training)

    keras.layers.BatchNormalization.call = norm
    ConvNorm.call = contiguous
