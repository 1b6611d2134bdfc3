"""The fields of a recipe that say what is learnt: loss, mixing, teacher."""

import dataclasses

from keras_tricks.recipe.fields import option


@dataclasses.dataclass(frozen=True)
class LossFields:
    """The fields of `Recipe` that say what is learnt: loss, mixing, teacher.

    Args:
        **fields: See `Recipe`, which lists them.

    Example:
    >>> LossFields(mixup_alpha=1.0).mixup_per
    'batch'
    """

    label_smoothing: float = option(
        0.1, "Label smoothing.", low=0, below=1, search=(0.0, 0.2, False)
    )
    smoothing_convention: str = option(
        "paper",
        "paper: e/(K-1) to each other class; uniform: e/K to all.",
        choices=("paper", "uniform"),
    )
    mixup_alpha: float = option(
        0.2,
        "Alpha of mixup's Beta distribution; 0 for no mixup.",
        low=0,
        search=(0.0, 1.0, False),
    )
    cutmix_alpha: float = option(
        0.0,
        "Alpha of CutMix's Beta distribution, in every second batch if there "
        "is mixup too; 0 for no CutMix.",
        low=0,
        search=(0.0, 1.0, False),
    )
    mixup_per: str = option(
        "batch",
        "One mixing weight for each batch or for each sample.",
        choices=("batch", "sample"),
    )
    mixup_off_epochs: int = option(
        0, "Number of last epochs without mixup.", low=0
    )

    teacher: str | None = option(
        None, "Saved .keras model to learn from, or the name of a model."
    )
    teacher_weights: str | None = option(
        None, "Weights of a teacher that is given by name."
    )
    temperature: float = option(20.0, "Temperature of distillation.", low=0)
    hard_weight: float | None = option(
        None, "w of w*hard + (1-w)*soft; none for the sum.", low=0, high=1
    )
