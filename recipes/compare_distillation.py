r"""Compares a student alone, core Keras' distillation and ours, over seeds.

    python recipes/compare_distillation.py
    python recipes/compare_distillation.py --dataset=cifar10 \
      --augmentation=shift_flip --width=8 --teacher_width=16

For each seed a wider teacher is trained on the same images, then the student
in each way: with the same initial weights, batches, schedule and optimizer.
Flags of `Recipe` hold for the students. Reported are the accuracy of the last
epoch on the test images and the agreement: the share of test images for which
student and teacher have the same top class. Runs that are complete are kept,
so an interrupted comparison continues. The folder gets comparison.md and
comparison.png.
"""

import json
import sys
import time
from pathlib import Path

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import keras
import numpy as np
import one_line
import recipe_flags
from absl import app, flags
from run_progress import RunProgress, print_classes

from keras_tricks import Recipe, training
from keras_tricks._files import write_atomically
from keras_tricks._lock import FolderLock
from keras_tricks.distillation import Distiller

_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds.", lower_bound=1)
_FOLDER = flags.DEFINE_string(
    "folder", "runs/distillation", "Folder for the runs and the table."
)
_WIDTH = flags.DEFINE_integer(
    "teacher_width", 16, "Channels of the teacher's first stage."
)
_EPOCHS = flags.DEFINE_integer("teacher_epochs", 25, "Epochs of the teacher.")
recipe_flags.define(preset=False)
flags.adopt_module_key_flags(recipe_flags)

# Of the students, unless flags say otherwise: mixup is a regularizer, and
# small networks have nothing to be regularized.
_DEFAULTS = {"width": 4, "epochs": 15, "warmup_epochs": 1.0, "mixup_alpha": 0.0}


def train_teacher(recipe, folder):
    """Train the teacher of a seed, or find it; return its path."""
    teacher = recipe.replace(
        width=_WIDTH.value,
        epochs=_EPOCHS.value,
        mixup_alpha=0.0,
        label_smoothing=0.0,
        teacher=None,
    )
    if not (folder / "result.json").exists():
        run = training.prepare(teacher, folder)
        print_classes(run.data.class_names)
        run.fit(verbose=0, extra_callbacks=[RunProgress()])
    training.check_same(teacher, folder)
    return folder / "last.keras"


def _compile(recipe, model, data):
    training.compile_model(
        recipe, model, data.train_size, class_counts=data.class_counts
    )


def _compile_alone(student, teacher, recipe, data):
    _compile(recipe, student, data)
    return student


def _compile_core(student, teacher, recipe, data):
    """Compile core Keras' Distiller with its default distillation loss."""
    model = keras.distillation.Distiller(
        teacher=teacher,
        student=student,
        distillation_losses=keras.distillation.LogitsDistillation(),
    )
    _compile(recipe, student, data)
    model.compile(
        optimizer=training.build_optimizer(
            recipe, data.train_size, model=student
        ),
        loss=student.loss,
        jit_compile=student.jit_compile,
    )
    return model


def _compile_ours(student, teacher, recipe, data):
    model = Distiller(student, teacher)
    _compile(recipe, model, data)
    return model


METHODS = {
    "student alone": _compile_alone,
    "core Keras, default": _compile_core,
    "Distiller": _compile_ours,
}


def train_student(method, recipe, teacher):
    """Train one student; return its accuracy and agreement."""
    data, train, validation = training.build_data(recipe)
    print_classes(data.class_names)
    student = training.build_model(recipe, data.image_shape, data.num_classes)
    model = METHODS[method](student, teacher, recipe, data)
    start = time.perf_counter()
    model.fit(
        train,
        epochs=recipe.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[RunProgress()],
    )
    seconds = time.perf_counter() - start
    ours, theirs = (
        network.predict(validation, verbose=0).argmax(-1)
        for network in (student, teacher)
    )
    return {
        "accuracy": float((ours == data.y_test).mean()),
        "agreement": float((ours == theirs).mean()),
        "teacher": float((theirs == data.y_test).mean()),
        "seconds": round(seconds, 1),
    }


def run_all(recipe, folder):
    """Return the results: method to a list with one dict for each seed."""
    if recipe.multi_label:
        raise ValueError(
            "`multi_label` must be False to compare ways to distill, all of "
            "which are of a softmax. Received: multi_label=True"
        )
    results = {method: [] for method in METHODS}
    first = recipe.seed
    for seed in range(first, first + _SEEDS.value):
        seeded = recipe.replace(seed=seed)
        print(f"teacher, seed {seed}", flush=True)
        path = train_teacher(seeded, folder / f"teacher_seed{seed}")
        teacher = keras.saving.load_model(path)
        for method, rows in results.items():
            name = "".join(c if c.isalnum() else "_" for c in method)
            file = folder / f"{name}_seed{seed}.json"
            state = {"recipe": json.loads(seeded.to_json())}
            known = json.loads(file.read_text()) if file.exists() else {}
            if known.get("recipe") != state["recipe"]:
                print(f"{method}, seed {seed}", flush=True)
                state["result"] = train_student(method, seeded, teacher)
                write_atomically(file, json.dumps(state, indent=2) + "\n")
                known = state
            rows.append(known["result"])
    return results


def make_table(results):
    """Return a Markdown table: means and standard deviations over seeds."""
    lines = [
        "| | seeds | accuracy | agreement with the teacher |",
        "|---|---:|---:|---:|",
    ]
    teachers = [row["teacher"] for row in next(iter(results.values()))]
    lines.append(f"| teacher | {len(teachers)} | {_spread(teachers)} | 100 % |")
    for method, rows in results.items():
        accuracy, agreement = (
            _spread([row[key] for row in rows])
            for key in ("accuracy", "agreement")
        )
        lines.append(f"| {method} | {len(rows)} | {accuracy} | {agreement} |")
    return "\n".join(lines) + "\n"


def _spread(values):
    if len(values) < 2:
        return f"{values[0]:.2%}".replace("%", " %")
    mean, std = 100 * np.mean(values), 100 * np.std(values, ddof=1)
    return f"{mean:.2f} ± {std:.2f} %"


def draw(results, path):
    """Draw each seed as a point: agreement over accuracy."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for method, rows in results.items():
        axes.scatter(
            [100 * row["agreement"] for row in rows],
            [100 * row["accuracy"] for row in rows],
            label=method,
        )
    teachers = [row["teacher"] for row in next(iter(results.values()))]
    axes.axhline(
        100 * np.mean(teachers),
        color="gray",
        ls="--",
        label="teacher's accuracy",
    )
    axes.set_xlabel("agreement with the teacher on test images, %")
    axes.set_ylabel("accuracy on test images, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(argv):
    """Train, print the table, write it and the picture."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    folder = Path(_FOLDER.value)
    try:
        recipe = Recipe(**{**_DEFAULTS, **recipe_flags.given()})
        with FolderLock(folder, "folder"):
            results = run_all(recipe, folder)
            table = make_table(results)
            write_atomically(folder / "comparison.md", table)
            draw(results, folder / "comparison.png")
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        one_line.stop(error)
    print(f"\n{table}\nPicture: {folder / 'comparison.png'}")


if __name__ == "__main__":
    app.run(main, flags_parser=recipe_flags.parse)
