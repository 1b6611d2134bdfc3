"""From a recipe to a trained model, one call for each arrow."""

import importlib.util
import json
import math
import os
import shutil
import statistics
import time
from pathlib import Path

import keras

from keras_tricks import _backend, callbacks, metrics
from keras_tricks._files import write_atomically
from keras_tricks._plan import make_plan, make_schedule
from keras_tricks._version import __version__
from keras_tricks.data import Batches, augmentation, channel_statistics, load
from keras_tricks.layers import MixUp
from keras_tricks.losses import LabelSmoothedCrossentropy
from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD
from keras_tricks.recipe import Recipe
from keras_tricks.report.run_folder import read_run
from keras_tricks.report.run_report import write_run_report


def build_data(recipe: Recipe):
    """Returns the data set and the training and validation batches.

    Example:
    >>> from keras_tricks import Recipe
    >>> data, train, validation = build_data(Recipe(batch_size=32))
    >>> train[0][0].shape, train[0][1].shape, validation[0][1].shape
    ((32, 8, 8, 1), (32, 10), (32,))
    """
    data = load(
        recipe.dataset,
        recipe.data_dir,
        image_size=recipe.image_size,
        train_samples=recipe.train_samples,
        seed=recipe.seed,
    )
    plan = make_plan(recipe, len(data.x_train))
    mean, std = channel_statistics(data.x_train)
    common = {"mean": mean, "std": std, "data_format": _data_format(recipe)}
    train = Batches(
        data.x_train,
        data.y_train,
        plan.batch_size,
        seed=recipe.seed,
        augment=augmentation(recipe.augmentation),
        mix_up=build_mix_up(recipe, data.num_classes),
        accumulation_steps=recipe.gradient_accumulation_steps,
        **common,
    )
    validation = Batches(
        data.x_test,
        data.y_test,
        min(plan.batch_size, len(data.x_test)),
        shuffle=False,
        drop_remainder=False,
        **common,
    )
    return data, train, validation


def build_mix_up(recipe: Recipe, num_classes: int) -> MixUp | None:
    """Returns the mixing layer of a recipe, or None without mixup.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_mix_up(Recipe(epochs=20, mixup_off_epochs=5), 10).off_from_epoch
    15
    """
    if not recipe.mixup_alpha:
        return None
    off = recipe.mixup_off_epochs
    return MixUp(
        recipe.mixup_alpha,
        per=recipe.mixup_per,
        num_classes=num_classes,
        off_from_epoch=recipe.epochs - off if off else None,
        seed=recipe.seed,
    )


def build_model(
    recipe: Recipe, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Returns the network of a recipe, not yet compiled.

    Args:
        recipe: The recipe; its seed decides the initial weights.
        image_shape: Height, width and channels, whatever the data format.
        num_classes: Number of logits.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_model(Recipe(), (8, 8, 1), 10).name
    'resnet18_d'
    """
    keras.utils.set_random_seed(recipe.seed)
    data_format = _data_format(recipe)
    if data_format == "channels_first":
        image_shape = (image_shape[2], *image_shape[:2])
    return ResNet(
        recipe.depth,
        recipe.variant,
        classes=num_classes,
        zero_gamma=recipe.zero_gamma,
        activation=recipe.activation,
        small_images=recipe.small_images,
        width=recipe.width,
        input_shape=image_shape,
        data_format=data_format,
        dtype=recipe.precision,
    )


def build_optimizer(recipe: Recipe, dataset_size: int) -> SGD:
    """Returns the optimizer of a recipe with its schedule.

    Example:
    >>> from keras_tricks import Recipe
    >>> optimizer = build_optimizer(Recipe(epochs=2, warmup_epochs=1), 640)
    >>> round(float(optimizer.learning_rate_at(9)), 4)
    0.025
    """
    plan = make_plan(recipe, dataset_size)
    steps = recipe.gradient_accumulation_steps
    return SGD(
        make_schedule(recipe, plan),
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        momentum_form=recipe.momentum_form,
        weight_decay=recipe.weight_decay,
        decay=recipe.decay,
        gradient_accumulation_steps=steps if steps > 1 else None,
    )


def compile_model(
    recipe: Recipe, model: keras.Model, dataset_size: int
) -> None:
    """Compiles a model as a recipe says; the model may be the user's own.

    Raises:
        ValueError: If the model ends in a softmax or another activation: the
            losses take logits.

    Example:
    >>> import keras
    >>> from keras_tricks import Recipe
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
    >>> compile_model(Recipe(), model, dataset_size=640)
    >>> model.loss.label_smoothing
    0.1
    """
    _check_logits(model)
    jit = {"on": True, "off": False, "auto": _backend.fastest_settings()[1]}
    model.compile(
        optimizer=build_optimizer(recipe, dataset_size),
        loss=LabelSmoothedCrossentropy(
            recipe.label_smoothing, recipe.smoothing_convention
        ),
        metrics=[
            metrics.DominantLabelAccuracy(name="accuracy"),
            metrics.Crossentropy(),
        ],
        jit_compile=jit[recipe.jit_compile],
    )


def build_average(
    recipe: Recipe,
) -> callbacks.ExponentialMovingAverage | None:
    """Returns the callback that averages the weights, or None without it.

    Example:
    >>> from keras_tricks import Recipe
    >>> build_average(Recipe(ema_decay=0.99)).decay
    0.99
    """
    if not recipe.ema_decay:
        return None
    return callbacks.ExponentialMovingAverage(
        recipe.ema_decay, warmup=True, swap_on_epoch=True
    )


def train(
    recipe: Recipe,
    run_folder: str | os.PathLike,
    verbose: int | str = "auto",
    extra_callbacks: list | None = None,
) -> dict:
    """Trains as a recipe says and writes everything into a folder.

    The folder gets recipe.json and explain.txt before the first step;
    history.csv, TensorBoard events (`events/`), `best.keras` and a backup
    after each epoch; `last.keras`, result.json and report.html at the end.
    A run that was interrupted continues where it was when it is started again
    with the same recipe and folder.

    Args:
        recipe: The recipe.
        run_folder: Folder of the run, made if it does not exist.
        verbose: As of `fit`. 0 also keeps the explanation to the file.
        extra_callbacks: More Keras callbacks, called last.

    Returns:
        What result.json holds: last and best validation accuracy, plain
        validation cross-entropy, seconds, versions.

    Raises:
        ValueError: If the folder holds a run of another recipe or one that
            is complete, or the data do not fit the recipe.
        FloatingPointError: If the loss became NaN or infinite; the folder
            keeps what there is.

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
    folder = _open_folder(recipe, run_folder)
    data, train_batches, validation = build_data(recipe)
    model = build_model(recipe, data.image_shape, data.num_classes)
    compile_model(recipe, model, len(data.x_train))
    explanation = f"data      {data!r}\n" + recipe.explain(
        model, len(data.x_train)
    )
    write_atomically(folder / "explain.txt", explanation)
    if verbose:
        print(explanation)
    start = time.perf_counter()
    average = build_average(recipe)
    backup = callbacks.Backup(folder / "backup", average)
    done = backup.restore(model)
    if done and verbose:
        print(f"Continues after epoch {done} from {backup.folder}")
    model.fit(
        train_batches,
        validation_data=validation,
        epochs=recipe.epochs,
        initial_epoch=done,
        shuffle=False,
        verbose=verbose,
        callbacks=[
            *_callbacks(recipe, folder, train_batches, backup, average),
            *(extra_callbacks or []),
        ],
    )
    return _finish(folder, recipe, model, time.perf_counter() - start)


def _data_format(recipe):
    if recipe.data_format == "auto":
        return _backend.fastest_settings()[0]
    return recipe.data_format


def _check_logits(model):
    """Refuses a model whose last layer turns logits into something else."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    name = getattr(activation, "__name__", None)
    if isinstance(last, keras.layers.Softmax):
        name = "softmax"
    if name not in (None, "linear"):
        raise ValueError(
            "`model` must end in logits, without an activation. "
            f"Received: layer {last.name!r} with {name}"
        )


def _open_folder(recipe, run_folder):
    """Returns the folder of a new or an interrupted run of this recipe."""
    for package in ("jinja2", "matplotlib", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                "A training run writes a report: `pip install "
                f'"keras_tricks[report]"`. Received: no module {package!r}'
            )
    folder = Path(run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.json"
    if (folder / "result.json").exists():
        raise ValueError(
            "`run_folder` must be new or hold an interrupted run. "
            f"Received: run_folder={str(folder)!r}, a complete run"
        )
    if path.exists():
        _check_same(recipe, Recipe.load(path), folder)
    write_atomically(path, recipe.to_json())
    return folder


def _check_same(recipe, other, folder):
    ours, theirs = (json.loads(r.to_json()) for r in (recipe, other))
    different = [name for name in ours if ours[name] != theirs[name]]
    if different:
        name = different[0]
        raise ValueError(
            "`run_folder` must be new or hold a run of the same recipe. "
            f"Received: run_folder={str(folder)!r}, where {name} is "
            f"{theirs[name]!r} and not {ours[name]!r}"
        )


def _callbacks(recipe, folder, batches, backup, average):
    """Those that add to the logs, those that write them, in this order."""
    yield keras.callbacks.TerminateOnNaN()
    yield callbacks.SetEpoch(batches)
    yield callbacks.LearningRateLogger()
    yield callbacks.LossScaleLogger()
    yield callbacks.Throughput(batches.batch_size)
    yield keras.callbacks.CSVLogger(folder / "history.csv", append=True)
    yield callbacks.TensorBoardScalars(folder / "events")
    # Before the average swaps its weights in, which the best model has.
    yield backup
    if average is not None:
        yield average
    yield keras.callbacks.ModelCheckpoint(
        folder / "best.keras",
        monitor="val_accuracy",
        mode="max",
        save_best_only=True,
        initial_value_threshold=_best_so_far(folder),
    )


def _best_so_far(folder):
    if not (folder / "history.csv").exists():
        return None
    return max(read_run(folder).history["val_accuracy"])


def _finish(folder, recipe, model, seconds):
    """Writes the model, the result and the report of a complete run."""
    run = read_run(folder)
    if not math.isfinite(run.history["loss"][-1]):
        raise FloatingPointError(
            f"The loss became {run.history['loss'][-1]} in epoch "
            f"{run.epochs}: try a lower --base_learning_rate or a longer "
            f"warmup. The run is in {folder}"
        )
    temporary = folder / "unfinished.keras"
    model.save(temporary)
    os.replace(temporary, folder / "last.keras")
    shutil.rmtree(folder / "backup", ignore_errors=True)
    accuracy = run.history["val_accuracy"]
    speeds = [x for x in run.history["images_per_second"] if x == x]
    result = {
        "val_accuracy": run.last("val_accuracy"),
        "val_crossentropy": run.last("val_crossentropy"),
        "best_val_accuracy": max(accuracy),
        "best_epoch": accuracy.index(max(accuracy)) + 1,
        "epochs": run.epochs,
        "wall_seconds": round(seconds, 2),
        "images_per_second": statistics.median(speeds) if speeds else None,
        "parameters": model.count_params(),
        "model": model.name,
        "dataset": recipe.data_dir or recipe.dataset,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "keras_tricks": __version__,
    }
    write_atomically(
        folder / "result.json", json.dumps(result, indent=2) + "\n"
    )
    write_run_report(folder)
    return result
