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

    loss: str = option(
        "crossentropy",
        "crossentropy: of a softmax; binary_crossentropy: of a sigmoid for "
        "each class.",
        choices=("crossentropy", "binary_crossentropy"),
    )
    target_threshold: float | None = option(
        None,
        "With binary_crossentropy: mixed targets above it count in full, the "
        "others not at all.",
        low=0,
        below=1,
    )
    class_reduction: str = option(
        "mean",
        "With binary_crossentropy: mean or sum over the classes.",
        choices=("mean", "sum"),
    )
    label_smoothing: float = option(
        0.1, "Label smoothing.", low=0, below=1, search=(0.0, 0.2, False)
    )
    smoothing_convention: str = option(
        "paper",
        "paper: e/(K-1) to each other class; uniform: e/K to all; binary, "
        "with binary_crossentropy: e/2 to each.",
        choices=("paper", "uniform", "binary"),
    )
    class_weights: tuple[float, ...] | str | None = option(
        None,
        "Weights of the classes in the loss: balanced or effective_number, "
        "from the training labels, or a number for each class.",
        choices=("balanced", "effective_number"),
    )
    effective_number_beta: float = option(
        0.999, "Beta of effective_number.", low=0, below=1
    )
    logit_adjustment: float = option(
        0.0,
        "Tau of logit adjustment by the shares of the classes among the "
        "training labels; 0 for none.",
        low=0,
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
        None,
        "Saved .keras model to learn from, or the name of a model, such as "
        "ResNet50D or applications/VGG16.",
    )
    teacher_weights: str | None = option(
        None, "Weights of a teacher that is given by name."
    )
    temperature: float = option(20.0, "Temperature of distillation.", low=0)
    distillation: str = option(
        "softmax",
        "What a teacher says: softmax, shares of the classes; sigmoid, with "
        "binary_crossentropy: yes or no to each.",
        choices=("softmax", "sigmoid"),
    )
    hard_weight: float | None = option(
        None, "w of w*hard + (1-w)*soft; none for the sum.", low=0, high=1
    )

    @property
    def counts_classes(self) -> bool:
        """Whether the loss is made from the counts of training labels."""
        return isinstance(self.class_weights, str) or self.logit_adjustment > 0
