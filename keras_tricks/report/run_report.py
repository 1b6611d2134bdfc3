import dataclasses
import json
import math
import statistics
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks.report import figures, page
from keras_tricks.report.run_folder import Run, read_run


def write_run_report(
    run_folder: str | Path,
    defaults: dict | None = None,
    result: dict | None = None,
) -> Path:
    r"""Write report.html, one page on one training run, into its folder.

    The page needs no network: pictures and style are inside it.

    Args:
        run_folder: Folder with history.csv and, where present, recipe.json,
            result.json and explain.txt.
        defaults: Dict of default settings, to tell which settings of the
            recipe were changed. Defaults to those of `keras_tricks.Recipe`.
        result: In place of what result.json holds.

    Returns:
        Path of the page.

    Raises:
        ValueError: If the folder or its history is missing or unreadable.
        ImportError: If matplotlib or Jinja2 is missing.

    Example:
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "history.csv").write_text("epoch,loss\n0,2.5\n1,2.0\n")
    >>> write_run_report(folder).name
    'report.html'
    """
    run = read_run(run_folder)
    if result is not None:
        run = dataclasses.replace(run, result=result)
    if defaults is None and run.recipe:
        defaults = _recipe_defaults()
    changed, unchanged = _split_recipe(run.recipe, defaults or {})
    title = str(run.recipe.get("name") or run.folder.resolve().name)
    html = page.render(
        "run_report.html",
        title=title,
        subtitle=_subtitle(run),
        tiles=_tiles(run),
        figures=_figures(run),
        changed=changed,
        unchanged=unchanged,
        explain=run.explain.strip(),
        result=_flatten(run.result),
        folder=str(run.folder),
    )
    return write_atomically(run.folder / "report.html", html)


def _recipe_defaults():
    from keras_tricks.recipe import Recipe

    defaults = {
        field.name: field.default
        for field in dataclasses.fields(Recipe)
        if field.default is not dataclasses.MISSING
    }
    return json.loads(json.dumps(defaults, default=str))


def _split_recipe(recipe, defaults):
    changed, unchanged = [], []
    for name, value in recipe.items():
        row = {"name": name, "value": page.show(value), "default": None}
        if name in defaults and defaults[name] == value:
            unchanged.append(row)
            continue
        if name in defaults:
            row["default"] = page.show(defaults[name])
        changed.append(row)
    return changed, unchanged


def _flatten(result, prefix=""):
    rows = []
    for name, value in result.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            if isinstance(value, int) and not isinstance(value, bool):
                value = f"{value:,}"
            rows.append((prefix + name, page.show(value)))
    return rows


def _subtitle(run):
    facts = {**run.recipe, **run.result}
    parts = [f"{run.epochs} epoch" + "s" * (run.epochs != 1)]
    parts += [str(facts[key]) for key in ("model", "dataset") if facts.get(key)]
    if facts.get("backend"):
        parts.append(f"Keras on {facts['backend']}")
    if "seed" in facts:
        parts.append(f"seed {facts['seed']}")
    return " · ".join(parts)


def _tile(label, value, note=""):
    return {"label": label, "value": value, "note": note}


def _tiles(run):
    tiles = _accuracy_tile(run) + _loss_tile(run)
    speeds = _numbers(run.history.get("images_per_second", []))
    if speeds:
        speed = f"{statistics.median(speeds):,.0f}"
        tiles.append(_tile("Images per second", speed, "median of the epochs"))
    if "wall_seconds" in run.result:
        seconds = _duration(float(run.result["wall_seconds"]))
        tiles.append(_tile("Wall time", seconds, "start to end"))
    if "parameters" in run.result:
        count = f"{int(run.result['parameters']):,}"
        tiles.append(_tile("Parameters", count, "trainable or not"))
    return tiles


def _accuracy_tile(run):
    labels = {
        "val_accuracy": "Validation accuracy",
        "val_mean_ap": "Mean average precision",
        "accuracy": "Training accuracy",
    }
    for metric, label in labels.items():
        values = run.history.get(metric, [math.nan])
        if not math.isnan(values[-1]):
            best = max(_numbers(values))
            epoch = _epochs(run)[values.index(best)]
            note = f"best {100 * best:.2f} % in epoch {epoch}"
            value = f"{100 * values[-1]:.2f} %"
            return [_tile(label, value, note)]
    return []


def _loss_tile(run):
    for metric, label in ("val_loss", "Validation loss"), ("loss", "Loss"):
        value = run.history.get(metric, [math.nan])[-1]
        if not math.isnan(value):
            return [_tile(label, f"{value:.4f}", "after the last epoch")]
    return []


def _epochs(run):
    """Return the numbers of the epochs, from 1."""
    return [int(epoch) + 1 for epoch in run.history["epoch"]]


def _duration(seconds):
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s"


def _numbers(values):
    return [value for value in values if not math.isnan(value)]


def _mixes(recipe):
    return any(
        "mix" in name
        and "off" not in name
        and isinstance(value, (bool, int, float))
        and value > 0
        for name, value in recipe.items()
    )


def _figures(run: Run) -> list[dict]:
    drawn = []
    for title, columns, note, percent in _specs(_mixes(run.recipe)):
        curves = {
            _label(column, columns): run.history[column]
            for column in columns
            if _numbers(run.history.get(column, []))
        }
        if not curves:
            continue
        source = figures.curve_figure(
            _epochs(run), curves, percent, from_zero=len(columns) == 1
        )
        alt = _describe(title, curves, percent)
        drawn.append(
            {"title": title, "note": note, "source": source, "alt": alt}
        )
    return drawn


def _label(column, columns):
    if len(columns) == 1:
        return ""
    return "validation" if column.startswith("val_") else "training"


def _specs(mixes):
    """Return title, columns, note and whether in percent, of each picture."""
    loss = accuracy = ""
    plain = "Of the labels as they are, without smoothing or teacher."
    if mixes:
        loss = "Training loss is of mixed targets, validation of labels."
        plain = "Without smoothing or teacher; in training, of mixed labels."
        accuracy = (
            "Training images are mixed; training accuracy is against the "
            "dominant label and is not comparable with validation."
        )
    crossentropy = ("crossentropy", "val_crossentropy")
    return [
        ("Loss", ("loss", "val_loss"), loss, False),
        ("Accuracy", ("accuracy", "val_accuracy"), accuracy, True),
        (
            "Mean average precision",
            ("mean_ap", "val_mean_ap"),
            "Of the classes that have images, from binned logits.",
            True,
        ),
        ("Cross-entropy", crossentropy, plain, False),
        (
            "Learning rate",
            ("learning_rate",),
            "Of each epoch's last step.",
            False,
        ),
        ("Images per second", ("images_per_second",), "Training only.", False),
        ("Loss scale", ("loss_scale",), "After each epoch.", False),
    ]


def _describe(title, curves, percent):
    parts = []
    for label, values in curves.items():
        numbers = _numbers(values)
        first, last = (
            f"{100 * value:.1f} %" if percent else f"{value:.4g}"
            for value in (numbers[0], numbers[-1])
        )
        name = f"{label} " if label else ""
        parts.append(f"{name}from {first} to {last}")
    return f"{title} over the epochs: {', '.join(parts)}."
