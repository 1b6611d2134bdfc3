r"""Draws a training batch of a recipe, step by step, before it is trained on.

    python recipes/show_batch.py --data_dir=photos --augmentation=crop
    python recipes/show_batch.py --flagfile=model_d \
      --data_dir=imagenet --epoch=3 --step=10 --out=batch.png

Takes the flags of recipes/train.py. The picture has a row for each image and
a column for each step: the crop, the flip, the colors, the mixing. They are
those that training draws for this seed, epoch and step.
"""

import dataclasses
import pathlib
import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import one_line
import recipe_flags
from absl import app, flags

from keras_tricks import training
from keras_tricks.report import batch_stages, write_batch_figure

_OUT = flags.DEFINE_string("out", "batch.png", "The PNG file to write.")
_ROWS = flags.DEFINE_integer(
    "rows", 8, "How many images of the batch.", lower_bound=1
)
_EPOCH = flags.DEFINE_integer("epoch", 0, "The epoch, from 0.", lower_bound=0)
_STEP = flags.DEFINE_integer(
    "step", 0, "Number of the batch in the epoch, from 0.", lower_bound=0
)
recipe_flags.define()
flags.adopt_module_key_flags(recipe_flags)


def stages_of(recipe, epoch, step, rows):
    """Take the batch of a recipe apart.

    Args:
        recipe: A `keras_tricks.Recipe`.
        epoch: The epoch.
        step: Number of the batch in it.
        rows: How many images.

    Returns:
        The data set, and a `BatchStages`.

    Raises:
        ValueError: If there is no such epoch or batch, or as `load_data`.
    """
    if epoch >= recipe.epochs:
        raise ValueError(
            f"`epoch` must be below {recipe.epochs}, the epochs of the recipe. "
            f"Received: epoch={epoch}"
        )
    # Where it is mixed changes nothing of what training sees.
    recipe = dataclasses.replace(recipe, finish_on="host")
    data = training.load_data(recipe)
    parts, _ = training.build_stages(recipe, data)
    batches = next(batches for end, batches in parts if epoch < end)
    stages = batch_stages(batches, data.class_names, epoch, step, rows)
    return data, stages


def main(argv):
    """Draw, or say in one line why it cannot."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    path = pathlib.Path(_OUT.value)
    try:
        recipe, _ = recipe_flags.fitted_recipe()
        path.parent.mkdir(parents=True, exist_ok=True)
        data, stages = stages_of(recipe, _EPOCH.value, _STEP.value, _ROWS.value)
        title = f"{data.name}, epoch {_EPOCH.value}, step {_STEP.value}"
        write_batch_figure(path, stages, f"{title}, seed {recipe.seed}")
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        one_line.stop(error)
    print(f"{len(stages.rows)} of the images of {title}: {path}")


if __name__ == "__main__":
    app.run(main, flags_parser=recipe_flags.parse)
