"""Opens what a trained network is evaluated on, whatever training reads."""

import os

from keras_tricks.data.shards.files import find_class_file, shard_splits
from keras_tricks.data.shards.tar import is_tar_shard
from keras_tricks.data.source_kinds import (
    check_unused,
    given_options,
    hub_of,
    open_hub_test,
    shards_at,
)
from keras_tricks.data.sources.arrays import ImageData
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.folders import open_image_files
from keras_tricks.data.sources.label_table import find_label_tables
from keras_tricks.data.sources.load import load, load_npz
from keras_tricks.data.sources.records import Records
from keras_tricks.data.sources.table_split import open_table_images


def open_test_images(
    dataset: str = "digits",
    data_dir: str | os.PathLike | None = None,
    classes: ClassNames | None = None,
    labels: bool = True,
    image_key: str | None = None,
    label_key: str | None = None,
    label_offset: int = 0,
    multi_label: bool = False,
) -> Records | ImageData:
    """Open the images that a trained network is evaluated on.

    Args:
        dataset: As for `open_images`.
        data_dir: As for `open_images`, or a .tar of image files. Where there
            are no splits, all images count.
        classes: The classes of files that are called after them, and of
            shards with no file of class names. Defaults to `None`.
        labels: Whether image files need classes. Defaults to `True`.
        image_key: As for `open_images`.
        label_key: As for `open_images`.
        label_offset: As for `open_images`.
        multi_label: As for `open_images`.

    Returns:
        An `ImageData`, whose test split is meant; an `ImageFiles`; or other
        `Records`.

    Raises:
        FileNotFoundError: If there is no such path.
        ValueError: If the data are not as described.
        ImportError: If a package is missing; the message names the extra.

    Example:
    >>> len(open_test_images("digits").x_test)
    359
    """
    options = given_options(image_key, label_key, label_offset)
    if data_dir is None:
        hub = hub_of(dataset, options)
        return load(dataset) if hub is None else open_hub_test(hub, dataset)
    path = os.path.abspath(os.fspath(data_dir))
    shards = shards_at(path) if os.path.isdir(path) else None
    if shards is not None:
        is_shard, opener = shards
        splits = shard_splits(path, is_shard)
        split = None if None in splits else "test"
        if find_class_file(next(iter(splits.values()))[0]):
            classes = None
        if multi_label:
            options = {**options, "multi_label": True}
        return opener(path, classes, split=split, **options)
    check_unused(options, path)
    if os.path.isfile(path) and not is_tar_shard(path):
        return load_npz(path, multi_label=multi_label)
    tables = find_label_tables(path) if labels else []
    if tables:
        return open_table_images(path, tables, multi_label, classes)
    return open_image_files(path, classes, labels)
