from typing import Any

import keras
from keras import ops

from keras_tricks._checks import check_int, check_real
from keras_tricks._types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_tricks")
class DropPath(keras.layers.Layer):
    """Stochastic depth: drops a whole branch for some samples.

    `y = x * keep / (1 - rate)`, with `keep ~ Bernoulli(1 - rate)` for each
    sample, in training; `y = x`, untouched, at inference or with rate 0.

    It stands between a residual branch and the addition, so that a sample
    whose branch is dropped passes through the shortcut alone.

    Args:
        rate: Probability that a sample's branch is dropped, in [0, 1).
        seed: Integer, at least 0; `None` draws one, which
            `keras.utils.set_random_seed` decides. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Floats, shape `(batch, ...)`.
        training: Whether to drop. Defaults to inference.

    Raises:
        ValueError: If the rate or the seed is out of its range.

    Example:
    >>> layer = DropPath(0.5, seed=1)
    >>> y = keras.ops.convert_to_numpy(
    ...     layer(np.ones((100, 2, 2)), training=True)
    ... )
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]

    Reference:
        - [Huang et al., 2016](https://arxiv.org/abs/1603.09382)
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = check_real("rate", rate, 0, 1, open_high=True)
        self.seed = seed if seed is None else check_int("seed", seed)
        if self.rate:
            self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training or not self.rate:
            return inputs
        shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        draw = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        keep = ops.cast(draw >= self.rate, inputs.dtype)
        return inputs * keep / (1.0 - self.rate)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
