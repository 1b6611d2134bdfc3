"""Training runs in folders that survive interruption."""

import dataclasses
import functools
import json
import os
import time
from pathlib import Path

import keras

from keras_tricks import callbacks
from keras_tricks._backend import PeakMemory
from keras_tricks._files import storage_error
from keras_tricks._lock import FolderLock
from keras_tricks.data import ImageData, ImageSet, RestOfEpoch
from keras_tricks.data.pipeline.base import EpochBatches
from keras_tricks.distribute import Distribution
from keras_tricks.recipe import Recipe
from keras_tricks.surgery import freeze
from keras_tricks.training.build import Average, build_average, build_model
from keras_tricks.training.explain_run import (
    explain_class_balance,
    explain_devices,
    explain_features,
    explain_labels,
)
from keras_tricks.training.features import (
    features_part,
    on_features,
    why_no_features,
)
from keras_tricks.training.fine_tuning import Steps, Unfreezing
from keras_tricks.training.finish_run import finish_run, last_backup
from keras_tricks.training.input import (
    build_stages,
    choose_data_format,
    load_data,
    model_image_shape,
    run_preprocessing,
)
from keras_tricks.training.kept_files import HISTORY, KeptFiles, begin_run
from keras_tricks.training.run_callbacks import close_logs, run_callbacks
from keras_tricks.training.run_folder import open_folder, writing_folder
from keras_tricks.training.run_state import (
    SameDevices,
    SameRecipe,
    bad_records,
)
from keras_tricks.training.teacher import build_distiller


@dataclasses.dataclass
class PreparedRun:
    """A run that was checked and explained and can start: see `prepare`.

    Attributes:
        recipe: The recipe.
        folder: Folder of the run.
        data: The data set.
        stages: Training batches, with the epoch at which the next ones
            begin; more than one with `progressive_sizes`.
        validation_batches: Validation batches.
        model: The compiled model, restored if the run was interrupted; a
            `keras_tricks.distillation.Distiller` if there is a teacher, and
            the head where it trains on cached features: then the network is
            `model.student`.
        average: The callback that averages the weights, or None.
        backup: The callback that saves all that a resume needs.
        distribution: On what is trained.
        epochs_done: Epochs of the interrupted run, otherwise 0. If it was
            interrupted within the next one, `backup.step` has its batches.
        explanation: What `Recipe.explain` says.
        lock: Keeps the folder for this process until `fit` ends, or this
            object is gone.
        unfreezing: Lets all train when it is time.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe, training
    >>> recipe = Recipe(epochs=1, warmup_epochs=0, width=2, train_samples=64)
    >>> run = training.prepare(recipe, tempfile.mkdtemp() + "/run")
    >>> run.epochs_done, len(run.train_batches)
    (0, 1)
    >>> result = run.fit(verbose=0)
    >>> result["epochs"]
    1
    """

    recipe: Recipe
    folder: Path
    data: ImageData | ImageSet
    stages: list[tuple[int, EpochBatches]]
    validation_batches: EpochBatches
    model: keras.Model
    average: Average | None
    backup: callbacks.Backup
    distribution: Distribution
    epochs_done: int
    explanation: str
    lock: FolderLock
    unfreezing: Unfreezing

    @property
    def train_batches(self) -> EpochBatches:
        """Training batches of the last stage."""
        return self.stages[-1][1]

    @functools.cached_property
    def kept(self) -> KeptFiles:
        """Small files, which are written again if the folder is removed."""
        names = json.dumps(self.data.class_names, indent=2) + "\n"
        texts = {
            "recipe.json": self.recipe.to_json(),
            "explain.txt": self.explanation,
            "classes.json": names,
        }
        return KeptFiles(self.folder, texts)

    def fit(
        self,
        verbose: int | str = "auto",
        extra_callbacks: list | None = None,
    ) -> dict:
        """Train, write everything into the folder, see `train`."""
        start, memory = time.perf_counter(), PeakMemory()
        if self.distribution.is_chief:
            self.lock.acquire()
        try:
            for part in features_part(self.validation_batches).values():
                part.compute()
            parts = list(self._parts())
            for done, end, batches in parts:
                self.unfreezing.before(done)
                self._fit(batches, done, end, verbose, extra_callbacks or [])
                if self.model.stop_training:
                    break
            if self.average is not None and not parts:
                self.average.set_model(self.model)
                self.average.apply()
            seconds, peak = time.perf_counter() - start, memory.read()
            return finish_run(self, seconds, peak)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error}. Another --base_learning_rate or --warmup_epochs "
                f"takes another folder. {last_backup(self)}"
            ) from None
        except OSError as error:
            raise storage_error(error, self.folder, last_backup(self)) from None
        finally:
            self.lock.release()

    def _parts(self):
        """Yield epochs done and wanted and the batches, for each `fit`."""
        done, step = self.epochs_done, self.backup.step
        for end, batches in self.stages:
            if done < end and step:
                yield done, done + 1, RestOfEpoch(batches, step)
                done, step = done + 1, 0
            if done < end:
                yield done, end, batches
                done = end

    def _fit(self, batches, done, end, verbose, extra_callbacks):
        """Train with the batches of a stage."""
        preempt = callbacks.Preempt(self.backup)
        if not self.distribution.is_chief:
            verbose = 0

        def apply_average(logs=None):
            stops = self.model.stop_training or end == self.stages[-1][0]
            if stops and self.average is not None:
                self.average.apply()

        used = [
            *run_callbacks(self, batches, done),
            # Before those that may restore the weights of the best epoch.
            keras.callbacks.LambdaCallback(on_train_end=apply_average),
            *extra_callbacks,
            preempt,
        ]
        try:
            self.model.fit(
                self.distribution.batches(batches),
                validation_data=self.distribution.batches(
                    self.validation_batches
                ),
                epochs=end,
                initial_epoch=done,
                shuffle=False,
                verbose=verbose,
                callbacks=used,
            )
        except Exception:
            # TensorFlow wraps it in a trace of its own.
            for some in (batches, self.validation_batches):
                if getattr(some, "error", None) is not None:
                    raise some.error from None
            raise
        finally:
            preempt.close()
            close_logs(used)


def prepare(
    recipe: Recipe,
    run_folder: str | os.PathLike,
    resume: str = "auto",
    backup_every_steps: int | None = None,
    distribution: Distribution | None = None,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> PreparedRun:
    """Do all that can be refused before the first step of a run.

    Loads the data, builds and compiles the model, restores an interrupted
    run, and writes recipe.json, explain.txt and classes.json.

    Args:
        recipe: The recipe.
        run_folder: Folder of the run, made if it does not exist.
        resume: `"auto"` (default) continues an interrupted run and otherwise
            begins one, `"must"` refuses to begin, `"never"` to continue.
        backup_every_steps: Batches between backups within an epoch. Defaults
            to `None`: only after each.
        distribution: On what to train, from
            `keras_tricks.distribute.distribute`. Where there are several
            processes each calls this, with a folder that they share, to
            which the first one writes. Defaults to `None`, one device.
        schedule: Of the learning rate, in place of the recipe's.

    Returns:
        A `PreparedRun`, whose `fit` trains.

    Raises:
        ValueError: If the folder holds a run of another recipe or one that
            is complete, or none of its backups is whole; if another process
            trains in it; if it does not hold what `resume` asks for; or the
            data do not fit the recipe.
        OSError: If the folder cannot be written.
        FileNotFoundError: If `data_dir` does not exist.
        ImportError: If a package of an extra is missing.
        RuntimeError: If a download fails, or another process does.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe
    >>> run = prepare(Recipe(width=2), tempfile.mkdtemp())
    >>> len(run.train_batches), run.epochs_done
    (22, 0)
    """
    distribution = distribution or Distribution()
    lock = distribution.together(
        lambda: open_folder(recipe, run_folder, resume, distribution.is_chief)
    )
    try:
        return _prepare(
            recipe, lock, backup_every_steps, distribution, schedule
        )
    except BaseException:
        lock.release()
        raise


def _prepare(recipe, lock, backup_every_steps, distribution, schedule):
    """Do what `prepare` does in a folder that is kept for this process."""
    data = distribution.together(lambda: load_data(recipe), chief_first=True)
    distribution.check_batch_size(
        recipe.batch_size, recipe.gradient_accumulation_steps
    )
    written = writing_folder(lock.folder, distribution)
    with distribution.scope():
        model, stages, validation_batches, unfreezing, explanation = build_run(
            recipe, data, distribution, written, schedule
        )
    average = build_average(recipe)
    backup = callbacks.Backup(
        lock.folder / "backup",
        average,
        every_steps=backup_every_steps,
        logs=[written / HISTORY],
        parts={
            "recipe": SameRecipe(recipe, lock.folder),
            "devices": SameDevices(recipe, distribution),
            **bad_records(written, stages, validation_batches, distribution),
            **features_part(validation_batches),
        },
        distribution=distribution,
        before_restore=unfreezing.before_restore,
    )
    epochs_done = backup.restore(model)
    run = PreparedRun(
        recipe,
        written,
        data,
        stages,
        validation_batches,
        model,
        average,
        backup,
        distribution,
        epochs_done,
        explanation,
        lock,
        unfreezing,
    )
    distribution.together(lambda: begin_run(run))
    return run


def build_run(recipe, data, distribution, folder, schedule):
    """Build the compiled model, its batches, and the text about them."""
    size, counts = data.train_size, data.class_counts
    image_shape = model_image_shape(recipe, data)
    student = build_model(recipe, image_shape, data.num_classes)
    frozen = recipe.freeze and freeze(student, recipe.freeze)
    pretrained = getattr(student, "preprocessing", None)
    stages, validation_batches = build_stages(
        recipe, data, pretrained, distribution
    )
    student.preprocessing = run_preprocessing(data, pretrained)
    explanation = f"data      {data!r}\n{explain_labels(data)}"
    if distribution.num_replicas > 1:
        explanation += explain_devices(recipe, distribution)
    why_not = why_no_features(recipe, student, distribution)
    if recipe.freeze == "backbone":
        explanation += explain_features(why_not)
    model, stages, validation_batches, first_batch = on_features(
        why_not, student, stages, validation_batches, folder
    )
    if recipe.teacher is not None:
        model = build_distiller(
            recipe, student, image_shape, choose_data_format(recipe)
        )
        # Of the images as they are: mixed ones would say less.
        x, y = validation_batches[0]
        for report in model.measure_teacher(x, y, recipe.multi_label):
            explanation += f"teacher   {report}\n"
    steps = Steps(
        recipe,
        model,
        size,
        data.num_classes,
        first_batch,
        distribution,
        schedule,
        counts,
    )
    steps.compile()
    unfreezing = Unfreezing(recipe.unfreeze_epoch, frozen, steps)
    explanation += recipe.explain(student, size)
    explanation += explain_class_balance(recipe, data)
    stages = unfreezing.split(stages)
    return model, stages, validation_batches, unfreezing, explanation


def train(
    recipe: Recipe,
    run_folder: str | os.PathLike,
    verbose: int | str = "auto",
    extra_callbacks: list | None = None,
) -> dict:
    """Train as a recipe says and write everything into a folder.

    The folder gets recipe.json, explain.txt and classes.json, the names of the
    classes, before the first step; history.csv, TensorBoard events (`events/`),
    `best.keras` and a backup after each epoch; `last.keras`, result.json and
    report.html at the end. A run that was interrupted continues where it was
    when it is started again with the same recipe and folder.

    Args:
        recipe: The recipe.
        run_folder: Folder of the run, made if it does not exist.
        verbose: As of `fit`.
        extra_callbacks: More Keras callbacks, called last.

    Returns:
        What result.json holds: last and best validation accuracy, or mean
        average precision where images are of several classes, plain
        validation cross-entropy, seconds, peak memory, versions.

    Raises:
        FloatingPointError: If the loss became NaN or infinite; the folder
            keeps what there is.
        Preempted: At SIGTERM or SIGINT, see `keras_tricks.callbacks.Preempt`.
        OSError: If the disk is full, say; the backups stay.
        Exception: As `prepare` does.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe(
    ...     epochs=1, warmup_epochs=0.5, width=2, train_samples=128
    ... )
    >>> result = train(recipe, tempfile.mkdtemp(), verbose=0)
    >>> result["epochs"]
    1
    """
    return prepare(recipe, run_folder).fit(verbose, extra_callbacks)
