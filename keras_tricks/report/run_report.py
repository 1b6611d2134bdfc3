import dataclasses
import json
import math
import statistics
from pathlib import Path

from keras_tricks.report import figures, page
from keras_tricks.report.run_folder import Run, read_run


def write_run_report(
    run_folder: str | Path, defaults: dict | None = None
) -> Path:
    r"""Writes report.html, one page on one training run, into its folder.

    The page needs no network: pictures and style are inside it.

    Args:
        run_folder: Folder with history.csv and, where present, recipe.json,
            result.json and explain.txt.
        defaults: Dict of default settings, to tell which settings of the
            recipe were changed. Defaults to those of `keras_tricks.Recipe`.

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
    return page.write_atomically(run.folder / "report.html", html)


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
        row = {"name": name, "value": show(value), "default": None}
        if name in defaults and defaults[name] == value:
            unchanged.append(row)
            continue
        if name in defaults:
            row["default"] = show(defaults[name])
        changed.append(row)
    return changed, unchanged


def show(value) -> str:
    """A setting as text: `on` and `off`, `none`, short numbers."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(show(item) for item in value)
    return str(value)


def _flatten(result, prefix=""):
    rows = []
    for name, value in result.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            if isinstance(value, int) and not isinstance(value, bool):
                value = f"{value:,}"
            rows.append((prefix + name, show(value)))
    return rows


def _subtitle(run):
    epochs = f"{run.epochs} epoch" + ("s" if run.epochs != 1 else "")
    parts = [epochs]
    for key in "model", "dataset":
        if run.recipe.get(key):
            parts.append(str(run.recipe[key]))
    if run.result.get("backend"):
        parts.append(f"Keras on {run.result['backend']}")
    if "seed" in run.recipe:
        parts.append(f"seed {run.recipe['seed']}")
    return " · ".join(parts)


def _tile(label, value, note=""):
    return {"label": label, "value": value, "note": note}


def _tiles(run):
    tiles = []
    history = run.history
    for metric in "val_accuracy", "accuracy":
        values = _numbers(history.get(metric, []))
        if values and not math.isnan(history[metric][-1]):
            where = "Validation" if metric == "val_accuracy" else "Training"
            best = max(values)
            epoch = history[metric].index(best) + 1
            note = f"best {best:.2%} in epoch {epoch}"
            tiles.append(
                _tile(f"{where} accuracy", f"{history[metric][-1]:.2%}", note)
            )
            break
    for metric, label in ("val_loss", "Validation loss"), ("loss", "Loss"):
        if metric in history and not math.isnan(history[metric][-1]):
            value = f"{history[metric][-1]:.4f}"
            tiles.append(_tile(label, value, "after the last epoch"))
            break
    speeds = _numbers(history.get("images_per_second", []))
    if speeds:
        speed = f"{statistics.median(speeds):,.0f}"
        tiles.append(_tile("Images per second", speed, "median of the epochs"))
    if "wall_seconds" in run.result:
        seconds = _duration(float(run.result["wall_seconds"]))
        tiles.append(_tile("Wall time", seconds, "start to end"))
    if "parameters" in run.result:
        count = f"{int(run.result['parameters']):,}"
        tiles.append(_tile("Parameters", count))
    return tiles


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
    accuracy_note = loss_note = ""
    if _mixes(run.recipe):
        accuracy_note = (
            "Training images are mixed; training accuracy is against the "
            "dominant label and is not comparable with validation."
        )
        loss_note = "Training loss is of mixed targets, validation of labels."
    specs = [
        ("Loss", ("loss", "val_loss"), loss_note, False),
        ("Accuracy", ("accuracy", "val_accuracy"), accuracy_note, True),
        ("Learning rate", ("learning_rate",), "Of each epoch's last step.", 0),
        ("Images per second", ("images_per_second",), "Training only.", 0),
        ("Loss scale", ("loss_scale",), "After each epoch.", False),
    ]
    labels = {"val": "validation"}
    drawn = []
    for title, columns, note, percent in specs:
        curves = {}
        for column in columns:
            values = run.history.get(column, [])
            if _numbers(values):
                label = labels.get(column.split("_")[0], "training")
                curves[label] = values
        if not curves:
            continue
        source = figures.curve_figure(
            list(range(1, run.epochs + 1)),
            curves,
            percent=percent,
            from_zero=len(columns) == 1,
        )
        alt = _describe(title, curves, percent)
        drawn.append(
            {"title": title, "note": note, "source": source, "alt": alt}
        )
    return drawn


def _describe(title, curves, percent):
    parts = []
    for label, values in curves.items():
        numbers = _numbers(values)
        first, last = (
            f"{value:.1%}" if percent else f"{value:.4g}"
            for value in (numbers[0], numbers[-1])
        )
        name = f"{label} " if len(curves) > 1 else ""
        parts.append(f"{name}from {first} to {last}")
    return f"{title} over the epochs: {', '.join(parts)}."
