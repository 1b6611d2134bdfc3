"""Which kind of source a name or a path is: a hub, shards, or files."""

from collections.abc import Callable

from keras_tricks._checks import check_int, first_line
from keras_tricks.data.shards.files import holds_shards
from keras_tricks.data.shards.records import (
    is_record_shard,
    open_record_shards,
)
from keras_tricks.data.shards.tar import is_tar_shard, open_tar_shards
from keras_tricks.data.sources.hubs import open_huggingface, open_tfds
from keras_tricks.data.sources.records import Records

_HUBS: dict[str, Callable] = {
    "tfds": open_tfds,
    "huggingface": open_huggingface,
}
_SHARDS: tuple[tuple[Callable, Callable], ...] = (
    (is_record_shard, open_record_shards),
    (is_tar_shard, open_tar_shards),
)


def given_options(
    image_key: str | None = None,
    label_key: str | None = None,
    label_offset: int = 0,
) -> dict:
    """Return those options that differ from their defaults."""
    options = {
        "image_key": image_key,
        "label_key": label_key,
        "label_offset": check_int("label_offset", label_offset) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def check_unused(options: dict, source: str) -> None:
    """Raise an error for an option of shards or hubs.

    Args:
        options: From `given_options`.
        source: What has no use for them.
    """
    for name, value in options.items():
        raise ValueError(
            f"`{name}` must be left out for {source}, which has no use for it. "
            f"Received: {name}={value!r}"
        )


def hub_of(dataset: str, options: dict) -> Callable | None:
    """Return what opens a split of a data set of a hub, if it is of one.

    Args:
        dataset: A name, or a hub, a slash and the name there.
        options: From `given_options`; a hub knows the names of its labels and
            needs no offset.

    Returns:
        `function(split)`, or `None`.

    Raises:
        ValueError: If there is no such hub, or an option is of no use.
    """
    hub, _, name = dataset.partition("/")
    if hub in _HUBS and name:
        offset = {k: v for k, v in options.items() if k == "label_offset"}
        check_unused(offset, dataset)
        return lambda split: _HUBS[hub](name, split, **options)
    if hub != dataset:
        raise ValueError(
            f"`dataset` must be a name, or one after {' or '.join(_HUBS)} and "
            f"a slash. Received: dataset={dataset!r}"
        )
    check_unused(options, dataset)
    return None


def open_hub_test(open_split: Callable, dataset: str) -> Records:
    """Open the first of the splits for validation that a hub has.

    Args:
        open_split: From `hub_of`.
        dataset: What messages call the data set.

    Raises:
        ValueError: If there is none.
    """
    reasons = []
    for split in ("validation", "test"):
        try:
            return open_split(split)
        except (ValueError, KeyError) as error:
            reasons.append(f"{split}: {first_line(error)}")
    raise ValueError(
        "`dataset` must have a split validation or test. Received: "
        f"{dataset.partition('/')[2]} ({'; '.join(reasons)})"
    )


def shards_at(path: str) -> tuple[Callable, Callable] | None:
    """Return what tells the shards of a folder, and what opens them, if any.

    Raises:
        ValueError: If there are several kinds.
    """
    kinds = [kind for kind in _SHARDS if holds_shards(path, kind[0])]
    if len(kinds) > 1:
        raise ValueError(
            "`data_dir` must hold shards of one kind. Received: records and "
            f".tar files in {path}"
        )
    return kinds[0] if kinds else None
