"""The defaults of a recipe that depend on the data."""

import contextlib
import dataclasses
import io
import os
import statistics
from typing import Any

from keras_tricks import _backend
from keras_tricks._image_size import sides_of
from keras_tricks.data import load, open_folder_splits
from keras_tricks.data.shards.files import holds_shards
from keras_tricks.data.shards.records import is_record_shard
from keras_tricks.data.shards.tar import is_tar_shard
from keras_tricks.data.sources.labels import is_multi_hot
from keras_tricks.data.transforms.crops import import_pillow
from keras_tricks.networks.names import is_ours
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.rules import (
    OF_CROPS,
    OF_STREAMS,
    check_field,
    check_names,
)

# Training images, side and channels of what is known without a look.
_KNOWN = {
    "cifar10": (50_000, 32, 3),
    "cifar100": (50_000, 32, 3),
    "mnist": (60_000, 28, 1),
    "fashion_mnist": (60_000, 28, 1),
}
_LOOKED_AT = 64
# Up to this side the stem keeps the resolution.
_SMALL = 64
_SIDE, _SIDE_ON_CPU, _GRID = 224, 128, 32
_WIDTH, _WIDTH_ON_CPU = 64, 32
# Images that a network sees in a run, and the epochs that are usual.
_SEEN, _FEWEST, _MOST = 150_000, 20, 100
_LARGE, _LARGE_EPOCHS = 500_000, 120
_MIXUP_EPOCHS = 50


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """What the defaults depend on.

    Attributes:
        count: Number of training images, `None` if it is not known.
        side: Short side of the middle one of them, in pixels.
        channels: 1 or 3.
        in_files: Whether they are image files of a folder, or shards.
        multi_label: Whether one may be of several classes.

    Example:
    >>> DataFacts(1000, 333, 3, True).count
    1000
    """

    count: int | None
    side: int | None
    channels: int
    in_files: bool
    multi_label: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """A field that was chosen, and why.

    Example:
    >>> str(Choice("epochs", 100, "1,000 training images"))
    'epochs=100: 1,000 training images'
    """

    field: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}: {self.reason}"


def look_at_data(
    dataset: str = "digits",
    data_dir: str | None = None,
    multi_label: bool = False,
) -> DataFacts | None:
    """Return what is known of a data set before it is loaded.

    Returns:
        `DataFacts`, or `None` for a data set that is read from a hub.

    Raises:
        Exception: As `keras_tricks.data.load` for a path.

    Example:
    >>> look_at_data("cifar10").side
    32
    """
    if data_dir is None:
        known = _KNOWN.get(dataset)
        return None if known is None else DataFacts(*known, in_files=False)
    shards = is_record_shard, is_tar_shard
    if any(holds_shards(data_dir, is_shard) for is_shard in shards):
        return DataFacts(None, None, 3, True, multi_label)
    if not os.path.isdir(data_dir):
        data = load(data_dir=data_dir, multi_label=multi_label)
        height, width, channels = data.image_shape
        return DataFacts(
            data.train_size,
            min(height, width),
            channels,
            in_files=False,
            multi_label=data.multi_label,
        )
    with contextlib.redirect_stderr(io.StringIO()):  # It is said when loaded.
        train, _ = open_folder_splits(data_dir, multi_label=multi_label)
    names = train.names[:: -(-len(train) // _LOOKED_AT)]
    sides = [
        side
        for name in names
        if (side := _short_side(os.path.join(train.root, name)))
    ]
    side = round(statistics.median(sides)) if sides else None
    several = is_multi_hot(train.labels)
    return DataFacts(len(train), side, 3, True, several)


def _short_side(path):
    """Return the short side by the header of a file; None if it has none."""
    try:
        with import_pillow().open(path) as image:
            return min(image.size)
    except OSError:
        return None


def fit_to_data(
    fields: dict[str, Any], facts: DataFacts | None = None
) -> tuple[Recipe, list[Choice]]:
    """Return a recipe whose other fields suit the data.

    What is chosen, unless it is among `fields`:

    | field | value |
    |---|---|
    | `image_size` | of files: the short side of the middle image, at most 224, and 128 without an accelerator; a multiple of 32, of 8 up to 64 pixels |
    | `small_images` | whether the side, the shorter one, is at most 64; not of networks of others |
    | `width` | 64 (32 without an accelerator) above 64 pixels; likewise |
    | `augmentation` | crops above 64 pixels and for shards; below, shifts, with flips if the images have colors |
    | `epochs` | so many that 150,000 images are seen, 20 to 100; 120 from 500,000 images on |
    | `batch_size` | 64 (256 from 50,000 images on), at most a sixteenth of the images |
    | `warmup_epochs` | a tenth of the epochs, at most 5 |
    | `mixup_alpha` | 0 below 50 epochs |
    | `multi_label` | whether an image may be of several classes; if so, also: |
    | `loss` | `"binary_crossentropy"` |
    | `smoothing_convention` | `"binary"`, each class by itself |
    | `distillation` | `"sigmoid"`, with a teacher |

    Args:
        fields: Fields of `Recipe` that are given.
        facts: What is known of the data. Defaults to what `look_at_data`
            finds.

    Returns:
        The recipe, and what was chosen with the reasons.

    Raises:
        Exception: As `Recipe` and `look_at_data`.

    Example:
    >>> facts = DataFacts(1000, 48, 3, in_files=True)
    >>> recipe, chosen = fit_to_data({"epochs": 60}, facts)
    >>> recipe.image_size, recipe.epochs, recipe.warmup_epochs
    (48, 60, 5.0)
    >>> str(chosen[0])
    'image_size=48: the short side of the middle image'

    Reference:
        - Warmup of 5 and 120 epochs: [He et al.,
          2018](https://arxiv.org/abs/1812.01187), section 5
    """  # noqa: E501
    defaults = {field.name: field for field in dataclasses.fields(Recipe)}
    for name, value in check_names(Recipe, fields).items():
        check_field(defaults[name], value)  # Before the data are looked at.
    if facts is None:
        names = ("dataset", "data_dir", "multi_label")
        keys = {k: fields[k] for k in names if k in fields}
        facts = look_at_data(**keys)
    chosen: dict[str, Choice] = {}

    def choose(field, value, reason):
        if field not in fields:
            chosen[field] = Choice(field, value, reason)
        return fields.get(field, value)

    if facts is not None:
        _choose_images(choose, facts, fields)
    epochs = _choose_length(choose, facts, fields)
    found = facts is not None and facts.multi_label
    if choose("multi_label", found, "images of several classes"):
        reason = "yes or no to each class"
        choose("loss", "binary_crossentropy", reason)
        choose("smoothing_convention", "binary", reason)
        if fields.get("teacher"):
            choose("distillation", "sigmoid", reason)
    choose(
        "warmup_epochs",
        min(5.0, epochs / 10),
        "a tenth of the epochs, at most 5",
    )
    if epochs < _MIXUP_EPOCHS and not fields.get("mixup_off_epochs"):
        choose("mixup_alpha", 0.0, f"mixup wants {_MIXUP_EPOCHS} epochs")
    values = {choice.field: choice.value for choice in chosen.values()}
    return Recipe(**{**values, **fields}), [
        choice
        for choice in chosen.values()
        if choice.value != defaults[choice.field].default
    ]


def _choose_images(choose, facts, fields):
    fast = _backend.has_accelerator()
    where = "" if fast else ", without an accelerator"
    if facts.side is None:
        side = _SIDE
    elif facts.side <= _SMALL:
        side = max(8, facts.side // 8 * 8) if facts.in_files else facts.side
    else:
        most = _SIDE if fast else _SIDE_ON_CPU
        side = min(most, facts.side // _GRID * _GRID)
        if not facts.in_files:
            side = facts.side
    if facts.in_files and facts.side is not None:
        reason = "the short side of the middle image"
        if side < facts.side // 8 * 8:
            reason += f" is {facts.side}{where}"
        sizes = fields.get("progressive_sizes")
        if sizes:
            side, reason = sizes[-1], "the last of --progressive_sizes"
        side = min(sides_of(choose("image_size", side, reason)))
    pixels = f"{side} pixels"
    if is_ours(fields.get("model", Recipe.model)):
        small = choose("small_images", side <= _SMALL, pixels)
        if not small and "weights" not in fields:
            choose("width", _WIDTH if fast else _WIDTH_ON_CPU, pixels + where)
    needs = [name for name in (*OF_CROPS, *OF_STREAMS) if name in fields]
    if "input_engine" in fields and fields["input_engine"] != "memory":
        needs.append("input_engine")
    if facts.side is None:
        choose("augmentation", "crop", "shards are read while training")
    elif facts.in_files and needs:
        choose("augmentation", "crop", f"what --{needs[0]} is for")
    elif (
        facts.in_files
        and side > _SMALL
        and fields.get("input_engine") != "memory"
    ):
        choose("augmentation", "crop", pixels)
    else:
        gray = 1 in (facts.channels, fields.get("channels"))
        choose(
            "augmentation",
            "shift" if gray else "shift_flip",
            "gray images may be signs" if gray else "images with colors",
        )


def _choose_length(choose, facts, fields):
    """Choose batch size and epochs; return the epochs."""
    count = fields.get("train_samples") or (facts and facts.count)
    if not count:
        return fields.get("epochs", Recipe().epochs)
    many = f"{count:,} training images"
    most = 256 if count >= 50_000 else 64
    power = 2 ** max(0, (count // 16).bit_length() - 1)
    parts = fields.get("gradient_accumulation_steps", 1)
    batch = max(1, min(most, power)) // parts * parts or parts
    choose("batch_size", batch, many)
    epochs = round(min(_MOST, max(_FEWEST, _SEEN / count)))
    if count >= _LARGE:
        epochs = _LARGE_EPOCHS
    return choose("epochs", epochs, many)
