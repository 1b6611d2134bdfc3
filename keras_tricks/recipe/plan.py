"""How many steps a recipe takes, and with which learning rate."""

import dataclasses
import functools

from keras_tricks.schedules import CosineDecay, StepDecay, Warmup


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
    elif rest:
        main = CosineDecay(recipe.learning_rate, rest)
    else:
        main = recipe.learning_rate
    return Warmup(main, plan.warmup_updates)
