"""How many steps a recipe takes, and what moves the weights in them."""

import dataclasses
import functools

from keras_tricks import optimizers
from keras_tricks.recipe.optimizer_fields import OWN_FIELDS
from keras_tricks.schedules import CosineDecay, StepDecay, Warmup
from keras_tricks.surgery import layer_rate_scales


@dataclasses.dataclass(frozen=True)
class Plan:
    """The lengths of a run.

    Attributes:
        updates_per_epoch: Whole global batches in the training set; the
            images that remain are left out, others in each epoch.
        batch_size: Images in one forward pass.
        updates: Updates in the whole run.
        warmup_updates: Updates of the warmup.
    """

    updates_per_epoch: int
    batch_size: int
    updates: int
    warmup_updates: int


@functools.lru_cache
def make_plan(recipe, dataset_size: int) -> Plan:
    """Return the lengths of a run on `dataset_size` training images.

    Raises:
        ValueError: If there is not one whole batch.
    """
    per_epoch = dataset_size // recipe.batch_size
    if per_epoch < 1:
        raise ValueError(
            "`batch_size` must not exceed the number of training images, "
            f"{dataset_size}. Received: batch_size={recipe.batch_size}"
        )
    return Plan(
        updates_per_epoch=per_epoch,
        batch_size=recipe.batch_size // recipe.gradient_accumulation_steps,
        updates=per_epoch * recipe.epochs,
        warmup_updates=round(per_epoch * recipe.warmup_epochs),
    )


def make_schedule(recipe, plan: Plan):
    """Return the learning-rate schedule of a run, warmup included.

    The steps of a step schedule are at absolute epochs: the warmup does not
    move them.
    """
    rest = plan.updates - plan.warmup_updates
    if recipe.schedule == "step":
        boundaries = [
            epoch * plan.updates_per_epoch - plan.warmup_updates
            for epoch in recipe.boundaries
        ]
        main = StepDecay(recipe.learning_rate, boundaries)
    elif rest and recipe.schedule == "cosine":
        main = CosineDecay(recipe.learning_rate, rest)
    else:
        main = recipe.learning_rate
    return Warmup(main, plan.warmup_updates)


OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "adamw": optimizers.AdamW,
    "lamb": optimizers.Lamb,
    "muon": optimizers.Muon,
    "lion": optimizers.Lion,
    "schedule_free_adamw": optimizers.ScheduleFreeAdamW,
}
"""The classes behind `Recipe.optimizer`."""

_NAMES_OF_MUON = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2"}


def head_factor(recipe) -> float:
    """Return the rate of the head over that of the network."""
    if recipe.head_learning_rate is None:
        return 1.0
    return recipe.head_learning_rate / recipe.base_learning_rate


def make_optimizer(recipe, schedule, model=None):
    """Return the optimizer of a recipe with a learning rate or schedule.

    The rates within the network are those of a model, if there is one.
    """
    names = _NAMES_OF_MUON if recipe.optimizer == "muon" else {}
    own = {
        names.get(name, name): getattr(recipe, name)
        for name in OWN_FIELDS[recipe.optimizer]
        if getattr(recipe, name) is not None
    }
    clipping = None
    if recipe.agc_clipping:
        clipping = optimizers.AdaptiveGradientClipping(recipe.agc_clipping)
    scales = None
    if model is not None and recipe.rates_differ:
        scales = layer_rate_scales(
            model, recipe.layer_decay, head_factor(recipe)
        )
    steps = recipe.gradient_accumulation_steps
    return OPTIMIZERS[recipe.optimizer](
        schedule,
        weight_decay=recipe.weight_decay,
        decay=recipe.decay,
        clipnorm=recipe.clipnorm,
        global_clipnorm=recipe.global_clipnorm,
        adaptive_clipping=clipping,
        rate_scales=scales,
        gradient_accumulation_steps=steps if steps > 1 else None,
        **own,
    )
