"""MixUp for some batches and CutMix for the others."""

from typing import Any

import keras

from keras_tricks import _backend
from keras_tricks._checks import check_real
from keras_tricks._random import SWITCH, random_generator
from keras_tricks._types import DType, Shape, Tensor
from keras_tricks.layers._step_layer import StepLayer
from keras_tricks.layers.cut_mix import CutMix
from keras_tricks.layers.mix_up import MixUp


@keras.saving.register_keras_serializable("keras_tricks")
class MixUpOrCutMix(StepLayer):
    """Mixes each batch by one of two layers, never by both.

    Formula: a batch is cut with probability `cut_mix_share`, and mixed
    otherwise. Which it is, is a function of (seed, epoch, step), as is what
    both layers draw; see `MixUp` for how to use it.

    Args:
        mix_up: A `MixUp`.
        cut_mix: A `CutMix` with the same `num_classes`.
        cut_mix_share: Probability of `cut_mix`, in [0, 1]. Defaults to 0.5.
        seed: Integer, at least 0, of the choice. Defaults to 0. It alone
            decides, as in `MixUp`.
        name: Name of the layer.
        dtype: Kept for the layer's config; it changes nothing.

    Call arguments:
        images: Of `CutMix`.
        labels: Of both.
        epoch: Defaults to the epoch given to `set_epoch`, first 0.
        step: Index of the batch in its epoch. Defaults to a counter.
        training: With `False` nothing is mixed. Defaults to `True`.

    Returns:
        Images and labels, float32, as both layers return them.

    Raises:
        ValueError: If an argument or an input is not as described.

    Example:
    >>> layer = MixUpOrCutMix(MixUp(num_classes=3), CutMix(num_classes=3))
    >>> images = np.zeros((4, 8, 8, 3), "uint8")
    >>> images, labels = layer(images, np.array([0, 1, 2, 0]), step=0)
    >>> images.shape, labels.shape
    ((4, 8, 8, 3), (4, 3))

    Reference:
        - Both in one run: [Wightman et al.,
          2021](https://arxiv.org/abs/2110.00476)
    """

    def __init__(
        self,
        mix_up: MixUp,
        cut_mix: CutMix,
        cut_mix_share: float = 0.5,
        seed: int = 0,
        name: str | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ):
        super().__init__(seed, name=name, dtype=dtype, **kwargs)
        if not isinstance(mix_up, MixUp):
            raise ValueError(
                "`mix_up` must be a keras_tricks.layers.MixUp. "
                f"Received: mix_up={mix_up!r}"
            )
        if not isinstance(cut_mix, CutMix):
            raise ValueError(
                "`cut_mix` must be a keras_tricks.layers.CutMix. "
                f"Received: cut_mix={cut_mix!r}"
            )
        if mix_up.num_classes != cut_mix.num_classes:
            raise ValueError(
                "`cut_mix` must have the `num_classes` of `mix_up`, which is "
                f"{mix_up.num_classes}. "
                f"Received: cut_mix.num_classes={cut_mix.num_classes}"
            )
        self.mix_up, self.cut_mix = mix_up, cut_mix
        self.cut_mix_share = check_real("cut_mix_share", cut_mix_share, 0, 1)

    @property
    def off_from_epoch(self) -> int | None:
        """From which epoch on neither layer mixes, or `None`.

        Setting it sets that of both, as `callbacks.MixUpOff` does.
        """
        ends = [self.mix_up.off_from_epoch, self.cut_mix.off_from_epoch]
        return None if None in ends else max(ends)

    @off_from_epoch.setter
    def off_from_epoch(self, epoch: int | None) -> None:
        self.mix_up.off_from_epoch = self.cut_mix.off_from_epoch = epoch

    def __call__(
        self,
        images: Tensor,
        labels: Tensor = None,
        epoch: int | None = None,
        step: int | None = None,
        training: bool = True,
    ) -> Any:
        ops = _backend.array_ops(images)
        args = self._given(epoch, step)
        if not training:
            return self.mix_up(images, labels, training=False)
        results = [((), "bool"), ((), "int64"), ((), "int64")]
        cut, epoch, step = ops.numpy_function(self._choose, args, results)
        return ops.cond(
            cut,
            lambda: self.cut_mix(images, labels, epoch, step),
            lambda: self.mix_up(images, labels, epoch, step),
        )

    def layer_for(self, epoch: int, step: int) -> MixUp | CutMix:
        """Return which of both layers a call would choose.

        Args:
            epoch: The epoch.
            step: Index of the batch in it.

        Returns:
            `mix_up` or `cut_mix`.
        """
        cut, _, _ = self._choose(epoch, step)
        return self.cut_mix if cut else self.mix_up

    def _choose(self, epoch, step):
        """Return whether to cut, and the epoch and the step for both layers."""
        epoch, step = self._epoch_and_step(epoch, step)
        rng = random_generator(self.seed, SWITCH, epoch, step)
        return rng.random() < self.cut_mix_share, epoch, step

    def compute_output_shape(
        self, images_shape: Shape, labels_shape: Shape
    ) -> Any:
        return self.cut_mix.compute_output_shape(images_shape, labels_shape)

    def get_config(self) -> dict:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "mix_up": serialize(self.mix_up),
            "cut_mix": serialize(self.cut_mix),
            "cut_mix_share": self.cut_mix_share,
        }

    @classmethod
    def from_config(cls, config: dict) -> "MixUpOrCutMix":
        deserialize = keras.saving.deserialize_keras_object
        layers = {
            name: deserialize(config[name]) for name in ("mix_up", "cut_mix")
        }
        return cls(**{**config, **layers})
