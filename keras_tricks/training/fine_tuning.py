"""What of a network trains in which epochs of a run."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks.distribute import Distribution
from keras_tricks.optimizers import take_over
from keras_tricks.recipe import Recipe
from keras_tricks.surgery import FreezeReport
from keras_tricks.training.build import compile_model
from keras_tricks.training.input import choose_data_format, finishes_on_device
from keras_tricks.training.on_device import DeviceFinish, finish_on_device


@dataclasses.dataclass
class Steps:
    """Compiles the steps of a run, and again when other weights train.

    Attributes:
        recipe: The recipe.
        model: What `fit` is called on.
        size: Number of training images.
        num_classes: Number of classes.
        first_batch: A batch, from which Keras learns shapes.
        distribution: On what is trained.
        schedule: Learning rates in place of the recipe's.
        class_counts: Training images of each class, if they are known.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> batch = np.zeros((2, 4), "float32"), np.zeros((2, 3), "float32")
    >>> Steps(Recipe(), model, 640, 3, batch, Distribution()).compile()
    >>> model.compiled
    True
    """

    recipe: Recipe
    model: keras.Model
    size: int
    num_classes: int
    first_batch: Any
    distribution: Distribution
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None
    class_counts: np.ndarray | None = None

    def compile(self) -> None:
        """Compile the model for what trains now."""
        recipe, model = self.recipe, self.model
        compile_model(
            recipe,
            model,
            self.size,
            self.distribution,
            self.schedule,
            self.class_counts,
        )
        # Refuses a rule for the decay that matches nothing.
        model.optimizer.build(model.trainable_variables)
        if finishes_on_device(recipe, self.distribution):
            finish = DeviceFinish(
                getattr(model, "student", model).preprocessing,
                self.num_classes if recipe.mixup_alpha else None,
                choose_data_format(recipe),
            )
            finish_on_device(model, finish, self.first_batch)
        else:
            # Within an epoch a backup goes on with metrics.
            _backend.build_steps(model, self.first_batch)
        self.distribution.prepare(model)


class Unfreezing:
    """Lets a frozen network train from an epoch on.

    Weights that were frozen begin with an empty momentum; what trained before
    keeps its own, and the learning rate goes on where it was.

    Args:
        epoch: Epochs that are done before it; `None` for never.
        report: What `keras_tricks.surgery.freeze` returned, or `None`.
        steps: The `Steps` of the run.

    Example:
    >>> Unfreezing(None, None, None).before(5)
    """

    def __init__(
        self,
        epoch: int | None,
        report: FreezeReport | None,
        steps: Steps | None,
    ):
        self.epoch = epoch
        self.report = report
        self.steps = steps

    def before(self, epoch: int) -> None:
        """Unfreeze what is frozen, if it is time before this epoch."""
        if self.epoch is not None and epoch >= self.epoch:
            self._unfreeze()

    def before_restore(self, epoch: int, step: int) -> None:
        """Let train what trained where a backup was made."""
        # One at the very end of an epoch knows what trained in it.
        if self.epoch is not None and (epoch, step) > (self.epoch, 0):
            self._unfreeze()

    def split(self, stages: list) -> list:
        """Return the stages of a run, none of which goes beyond the epoch."""
        if self.epoch is None:
            return stages
        parts, begin = [], 0
        for end, batches in stages:
            if begin < self.epoch < end:
                parts.append((self.epoch, batches))
            parts.append((end, batches))
            begin = end
        return parts

    def _unfreeze(self):
        if self.report is None:
            return
        model = self.steps.model
        before = model.optimizer
        with self.steps.distribution.scope():
            self.report.unfreeze(getattr(model, "student", model))
            self.steps.compile()
            take_over(model.optimizer, before)
        self.report = None
