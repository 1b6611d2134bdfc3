"""The fields of a recipe that say how long and how weights move."""

import dataclasses

from keras_tricks.recipe.fields import option


@dataclasses.dataclass(frozen=True)
class OptimizerFields:
    """The fields of `Recipe` that say how long and how weights move.

    Args:
        **fields: See `Recipe`, which lists them.

    Example:
    >>> OptimizerFields(epochs=9).schedule
    'cosine'
    """

    epochs: int = option(20, "Number of epochs.", low=1, high=10**7)
    batch_size: int = option(64, "Global batch size of one update.", low=1)
    base_learning_rate: float = option(
        0.1,
        "Peak learning rate for a batch of 256.",
        low=0,
        search=(0.01, 1.0, True),
    )
    scale_learning_rate: bool = option(
        True, "Multiply the peak by batch_size / 256."
    )
    warmup_epochs: float = option(
        2.0, "Epochs of linear warmup, may be a fraction.", low=0
    )
    schedule: str = option(
        "cosine", "Schedule after the warmup.", choices=("cosine", "step")
    )
    step_epochs: tuple[int, ...] | None = option(
        None, "Epochs at which schedule=step divides by 10; the quarters."
    )

    momentum: float = option(
        0.9, "Momentum.", low=0, below=1, search=(0.8, 0.98, False)
    )
    nesterov: bool = option(True, "Use Nesterov momentum.")
    momentum_form: str = option(
        "pytorch",
        "Learning rate outside (pytorch) or inside (keras) the buffer.",
        choices=("pytorch", "keras"),
    )
    weight_decay: float = option(
        1e-4, "Coupled weight decay.", low=0, search=(1e-5, 1e-2, True)
    )
    decay: str = option(
        "kernels",
        "What decays: kernels, all, or a regular expression on paths.",
    )
    gradient_accumulation_steps: int = option(
        1, "Batches in one update; batch_size counts all of them.", low=1
    )
    sync_batch_norm: bool = option(
        True, "Batch statistics over all devices, with --distribute."
    )
    ema_decay: float = option(
        0.0,
        "Decay per update of the averaged weights; 0 for none.",
        low=0,
        below=1,
    )
    precision: str = option(
        "float32",
        "Dtype policy.",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
