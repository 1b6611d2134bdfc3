"""What a complete run leaves in its folder."""

import json
import shutil
import statistics

import keras

from keras_tricks._files import replace_durably, write_atomically
from keras_tricks._version import __version__
from keras_tricks.report import read_run, write_run_report
from keras_tricks.training.features import FEATURES
from keras_tricks.training.kept_files import UNFINISHED


def last_backup(run):
    """Return a sentence that names the last backup."""
    backups = run.backup.backups()
    if not backups:
        return f"There is no backup in {run.folder}"
    return f"The last good backup is {backups[0]}"


def finish_run(prepared, seconds, peak_memory):
    """Write the model, the result and the report of a complete run."""
    recipe, folder = prepared.recipe, prepared.folder
    model = getattr(prepared.model, "student", prepared.model)
    prepared.kept.put_back()
    run = read_run(folder)
    temporary = folder / f"{UNFINISHED}.keras"
    temporary.unlink(missing_ok=True)  # Were it a link.
    model.save(temporary)
    replace_durably(temporary, folder / "last.keras")
    measure = recipe.measure
    values = run.history[measure]
    speeds = [x for x in run.history["images_per_second"] if x == x]
    result = {
        measure: run.last(measure),
        "val_crossentropy": run.last("val_crossentropy"),
        f"best_{measure}": max(values),
        "best_epoch": values.index(max(values)) + 1,
        "epochs": run.epochs,
        "wall_seconds": round(seconds, 2),
        "images_per_second": statistics.median(speeds) if speeds else None,
        "peak_memory_bytes": peak_memory,
        "parameters": model.count_params(),
        "model": model.name,
        "dataset": recipe.data_dir or recipe.dataset,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "keras_tricks": __version__,
    }
    if prepared.distribution.is_chief:
        write_run_report(folder, result=result)
    # Last: with it the run is complete; backups and features have no use.
    write_atomically(
        folder / "result.json", json.dumps(result, indent=2) + "\n"
    )
    if prepared.distribution.is_chief:
        shutil.rmtree(prepared.backup.folder, ignore_errors=True)
        (folder / FEATURES).unlink(missing_ok=True)
    return result
