"""The fields of a recipe that say how long and how weights move."""

import dataclasses

from keras_tricks.recipe.fields import option

OWN_FIELDS = {
    "sgd": ("momentum", "nesterov", "momentum_form"),
    "adamw": ("beta_1", "beta_2", "epsilon"),
    "lamb": ("beta_1", "beta_2", "epsilon", "trust_ratio"),
    "muon": ("beta_1", "beta_2", "epsilon"),
    "lion": ("beta_1", "beta_2"),
    "schedule_free_adamw": ("beta_1", "beta_2", "epsilon"),
}
"""The fields that not all optimizers use, by what uses them."""


@dataclasses.dataclass(frozen=True)
class OptimizerFields:
    """The fields of `Recipe` that say how long and how weights move.

    Args:
        **fields: See `Recipe`, which lists them.

    Example:
    >>> OptimizerFields(epochs=9).schedule
    'cosine'
    """

    optimizer: str = option(
        "sgd",
        "What moves the weights; sgd is the paper's.",
        choices=tuple(OWN_FIELDS),
    )
    epochs: int = option(20, "Number of epochs.", low=1, high=10**7)
    batch_size: int = option(
        64,
        "Global batch size of one update; auto, of train: the largest whose "
        "step fits into the memory of the accelerator.",
        low=1,
        words=("auto",),
    )
    base_learning_rate: float = option(
        0.1,
        "Peak learning rate for a batch of 256.",
        low=0,
        search=(0.01, 1.0, True),
    )
    learning_rate_scaling: str = option(
        "auto",
        "How the peak grows with batch_size / 256: linear, sqrt (its root) or "
        "none; auto: linear for sgd, sqrt for the adaptive optimizers.",
        choices=("auto", "linear", "sqrt", "none"),
    )
    warmup_epochs: float = option(
        2.0, "Epochs of linear warmup, may be a fraction.", low=0
    )
    schedule: str = option(
        "cosine",
        "Schedule after the warmup.",
        choices=("cosine", "step", "constant"),
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
    beta_1: float | None = option(
        None,
        "Decay of the mean of gradients; none for the optimizer's own.",
        low=0,
        below=1,
    )
    beta_2: float | None = option(
        None,
        "Decay of the mean of their squares (lion: of the momentum); none "
        "for the optimizer's own.",
        low=0,
        below=1,
    )
    epsilon: float | None = option(
        None, "Keeps divisions finite; none for the optimizer's own.", low=0
    )
    trust_ratio: str = option(
        "all",
        "What lamb gives steps of the size of the weights: all, the paper's, "
        "or decayed, timm's.",
        choices=("all", "decayed"),
    )
    clipnorm: float | None = option(
        None, "Largest norm of the gradient of each variable.", low=0
    )
    global_clipnorm: float | None = option(
        None, "Largest norm of all gradients together.", low=0
    )
    agc_clipping: float = option(
        0.0,
        "Adaptive gradient clipping: largest norm of a gradient beside that "
        "of the weights, of each unit; 0 for none.",
        low=0,
    )
    sam_rho: float = option(
        0.0,
        "Sharpness-aware minimization: how far to climb before the gradient "
        "is taken, at twice the time; 0 for none.",
        low=0,
    )
    weight_decay: float = option(
        1e-4,
        "Weight decay: coupled with sgd, decoupled with the others.",
        low=0,
        search=(1e-5, 1e-2, True),
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

    @property
    def scaling(self) -> str:
        """How the peak is scaled: `"linear"`, `"sqrt"` or `"none"`."""
        if self.learning_rate_scaling != "auto":
            return self.learning_rate_scaling
        return "linear" if self.optimizer == "sgd" else "sqrt"
