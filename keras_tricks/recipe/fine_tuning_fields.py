"""The fields of a recipe that say what of a trained network trains on."""

import dataclasses

from keras_tricks.recipe.fields import option


@dataclasses.dataclass(frozen=True)
class FineTuningFields:
    """The fields of `Recipe` that say what of a trained network trains on.

    Args:
        **fields: See `Recipe`, which lists them.

    Example:
    >>> FineTuningFields(freeze="backbone").unfreeze_epoch is None
    True
    """

    freeze: str | None = option(
        None,
        "What does not train: backbone, norms, groups such as stem,stage1, or "
        "a regular expression on paths of weights.",
    )
    unfreeze_epoch: int | None = option(
        None, "Epochs until all trains; never by default.", low=1
    )
    cache_features: str = option(
        "auto",
        "Compute what is in front of a trained head once; auto: wherever it "
        "always is the same.",
        choices=("auto", "on", "off"),
    )
    layer_decay: float = option(
        1.0,
        "Factor of the learning rate from a block to the one before it, from "
        "the head to the stem; 1 for one rate.",
        low=0,
        high=1,
    )
    head_learning_rate: float | None = option(
        None,
        "Peak learning rate of the last layer for a batch of 256; none for "
        "base_learning_rate.",
        low=0,
    )

    @property
    def rates_differ(self) -> bool:
        """Whether parts of the network have learning rates of their own."""
        return self.layer_decay != 1 or self.head_learning_rate is not None
