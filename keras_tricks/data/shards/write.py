"""Writes image files into shards: in parallel, and on after an end."""

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import threading
from collections.abc import Mapping

import keras
import numpy as np

from keras_tricks._checks import check_choice, check_int
from keras_tricks._files import (
    remove_partial,
    replace_durably,
    storage_error,
    write_atomically,
)
from keras_tricks._lock import LOCK_FILE, FolderLock
from keras_tricks._text import as_table
from keras_tricks._untrusted import parse_json
from keras_tricks.data.shards.index import INDEX_FILE, index_content
from keras_tricks.data.shards.plan import make_plan
from keras_tricks.data.shards.shrink import make_shrink
from keras_tricks.data.shards.writers import WRITERS
from keras_tricks.data.sources.folders import ImageFiles
from keras_tricks.data.transforms.decode import SUFFIXES, decode_image

PLAN_FILE = "plan.json"
BAD_FILE = "bad_records.tsv"
# A note on each finished shard: where its records are, what was left out.
_NOTES = ".finished"
_KEPT = "The shards that are complete stay"


@dataclasses.dataclass(frozen=True)
class WrittenShards:
    """What `write_shards` did.

    Args:
        folder: Where the shards are.
        shards: Paths of the shards.
        records: Number of images in them.
        megabytes: Their size, in 10^6 bytes.
        kept: How many shards an earlier call had written.
        bad: Part, name and reason of each image that was left out.
        resized: How many images are stored smaller than they were.
        megabytes_before: Size of the files of these, in 10^6 bytes.
        megabytes_after: What they have in the shards.

    Example:
    >>> WrittenShards("out", ("out/train-000000.tar",), 2, 0.02, 0, ()).records
    2
    """

    folder: str
    shards: tuple[str, ...]
    records: int
    megabytes: float
    kept: int
    bad: tuple[tuple[str, str, str], ...]
    resized: int = 0
    megabytes_before: float = 0.0
    megabytes_after: float = 0.0


def write_shards(
    splits: Mapping[str, ImageFiles],
    folder: str | os.PathLike,
    format: str = "tfrecord",
    shards: int | None = None,
    shard_megabytes: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    max_bad_records: int = 0,
    verbose: bool = False,
    max_side: int | None = None,
    quality: int | None = None,
) -> WrittenShards:
    """Write image files into shards that are read by number.

    The images of a split are shuffled, so that every shard mixes the classes,
    and each is decoded once before its bytes are written as they are, unless
    `max_side` says that it is too large. A shard appears under its name when
    it is complete and on the disk. After an interruption the same call keeps
    such shards and writes the others, the same bytes as without it. Besides
    shards the folder gets classes.json, index.npz, plan.json and
    bad_records.tsv.

    Args:
        splits: `"train"` and, if you like, one of `"val"`, `"valid"`,
            `"validation"`, `"test"`, to `ImageFiles` with labels and the
            same classes, see `open_folder_splits`.
        folder: The folder; it must be new, empty, or of the same call.
        format: `"tfrecord"`, `"array_record"` or `"webdataset"`.
        shards: Number of shards of the largest split; the shards of another
            split hold as many images.
        shard_megabytes: About the size of a shard instead, in 10^6 bytes of
            the files as they are. Defaults to 128.
        seed: Seed of the order.
        workers: Shards that are written at a time. Defaults to the number
            of cores.
        max_bad_records: How many images may be left out because they cannot
            be decoded. Defaults to 0.
        verbose: Whether to show a progress bar.
        max_side: S in pixels: an image whose short side is longer is resized
            to S and stored as a JPEG, upright, of 8 bits, without anything
            but its pixels; none is enlarged. The index says so. Defaults to
            `None`, all bytes as they are.
        quality: Of these JPEGs, 1 to 100. Defaults to 90.

    Returns:
        A `WrittenShards`.

    Raises:
        ValueError: If an argument is wrong, the folder holds anything of
            another call, another process writes to it, or there are too many
            bad images.
        ImportError: If a package is missing.
        OSError: If the disk is full, say; the same call goes on later.

    Example:
    >>> import tempfile
    >>> from PIL import Image
    >>> from keras_tricks.data import open_folder_splits, open_tar_shards
    >>> folder, out = tempfile.mkdtemp(), tempfile.mkdtemp()
    >>> for name in ("cat/1", "cat/2", "dog/1", "dog/2"):
    ...     os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
    ...     Image.new("RGB", (8, 6)).save(f"{folder}/{name}.png")
    >>> train, test = open_folder_splits(folder, test_share=0.5)
    >>> splits = {"train": train, "val": test}
    >>> write_shards(splits, out, "webdataset", shards=1).records
    4
    >>> len(open_tar_shards(out, split="test"))
    2
    """
    check_choice("format", format, tuple(WRITERS))
    check_int("max_bad_records", max_bad_records)
    workers = os.cpu_count() if workers is None else workers
    check_int("workers", workers, 1)
    writer = WRITERS[format]
    writer.check()
    shrink = make_shrink(max_side, quality)
    plan = make_plan(splits, writer, shards, shard_megabytes, seed)
    with FolderLock(folder, "folder") as lock:
        _prepare(lock.folder, plan, format, splits, shrink)
        bar = keras.utils.Progbar(
            len(plan), width=24, verbose=int(verbose), unit_name="image"
        )
        job = _Job(lock.folder, writer, splits, max_bad_records, bar, shrink)
        job.recall(plan.shards)
        kept = len(job.rows)
        missing = [one for one in plan.shards if one.name not in job.rows]
        job.run(missing, workers)
        try:
            return job.finish(plan.shards, kept)
        except OSError as error:
            raise storage_error(error, lock.folder, _KEPT) from None


def _prepare(out, plan, format, splits, shrink):
    """See that the folder is empty, or of the same plan."""
    remove_partial(out, PLAN_FILE)
    file = out / PLAN_FILE
    written = json.dumps(
        {
            "format": format,
            "shards": len(plan.shards),
            "images": {name: len(files) for name, files in splits.items()},
            "digest": plan.digest,
            **(dataclasses.asdict(shrink) if shrink else {}),
        },
        indent=2,
    )
    if file.is_file():
        found = file.read_text("utf-8")
        if found != written + "\n":
            raise ValueError(
                "`folder` must be new, empty, or hold what the same call "
                "began: the same images, format, shards, seed, max_side, "
                "quality, and version of Pillow if it resizes. Received: "
                f"{out} of another plan"
            )
        for folder in (out, out / _NOTES):
            remove_partial(folder)
        return
    found = {path.name for path in out.iterdir()} - {LOCK_FILE}
    if found:
        raise ValueError(
            "`folder` must be new, empty, or hold what the same call began. "
            f"Received: {out} with {min(found)} in it"
        )
    write_atomically(file, written + "\n")


class _Stopped(Exception):
    """Ends the other threads; the first error is the one to report."""


class _Job:
    """Writes the shards that are missing, in threads."""

    def __init__(self, out, writer, splits, max_bad_records, bar, shrink):
        self.out, self.writer, self.splits = out, writer, splits
        self.max_bad_records, self.bar = max_bad_records, bar
        self.shrink = shrink
        self.rows, self.resized, self.bad, self.seen = {}, {}, [], 0
        self.lock, self.stopped = threading.Lock(), threading.Event()

    def recall(self, shards):
        """Take over the shards that are finished and as they were."""
        for shard in shards:
            try:
                note = parse_json(self.note(shard).read_text("utf-8"))
                whole = note["size"] == (self.out / shard.name).stat().st_size
                offsets, lengths, labels = note["rows"]
                bad = [tuple(map(str, row)) for row in note["bad"]]
                resized = note.get("resized", [])
                np.array(resized, "int64").reshape(-1, 2)
                counted = len(offsets) + len(bad) == len(shard.chosen)
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if whole and counted and len(offsets) == len(lengths):
                self.rows[shard.name] = [offsets, lengths, labels]
                self.resized[shard.name] = resized
                self.seen += len(shard.chosen)
                self.left_out(bad)
        self.bar.update(self.seen)

    def note(self, shard):
        return self.out / _NOTES / f"{shard.name}.json"

    def left_out(self, bad):
        """Count images that were left out."""
        self.bad += [tuple(row) for row in bad]
        if len(self.bad) > self.max_bad_records:
            _, name, reason = self.bad[0]
            more = f" and {len(self.bad) - 1} more" if self.bad[1:] else ""
            raise ValueError(
                f"At most {self.max_bad_records} images may be unreadable "
                f"(`max_bad_records`). Received: {name}: {reason}{more}"
            )

    def run(self, shards, workers):
        (self.out / _NOTES).mkdir(exist_ok=True)
        pool = concurrent.futures.ThreadPoolExecutor(workers)
        futures = [pool.submit(self.write, shard) for shard in shards]
        try:
            concurrent.futures.wait(futures, return_when="FIRST_EXCEPTION")
        finally:
            self.stopped.set()
            pool.shutdown(cancel_futures=True)
        ended = [one.exception() for one in futures if not one.cancelled()]
        for error in ended:
            if error is not None and not isinstance(error, _Stopped):
                raise error

    def write(self, shard):
        """Write a shard under another name, then gives it its own."""
        temporary = self.out / f".{shard.name}.partial"
        writer = None
        try:
            temporary.unlink(missing_ok=True)  # Were it a link.
            writer = self.writer(str(temporary))
            labels, bad, resized = self.fill(writer, shard)
            writer.close()
            offsets, lengths, _ = self.writer.scan(str(temporary))
            rows = [list(map(int, offsets)), list(map(int, lengths)), labels]
            size = temporary.stat().st_size
            note = {"size": size, "rows": rows, "bad": bad}
            note["resized"] = resized
            write_atomically(self.note(shard), json.dumps(note))
            replace_durably(temporary, self.out / shard.name)
        except BaseException as error:
            self.stopped.set()
            with contextlib.suppress(Exception):  # The first error counts.
                if writer is not None:
                    writer.close()
            temporary.unlink(missing_ok=True)
            explained = storage_error(error, self.out, _KEPT)
            if explained is not error:
                raise explained from error
            raise
        self.rows[shard.name], self.resized[shard.name] = rows, resized

    def fill(self, writer, shard):
        """Write the images of a shard.

        Returns:
            Labels, what is bad, and bytes before and after of each image
            that was resized.
        """
        files, labels, bad, resized = self.splits[shard.split], [], [], []
        for number, index in enumerate(shard.chosen, shard.first):
            if self.stopped.is_set():
                raise _Stopped
            name, label = files.name(index), int(files.labels[index])
            try:
                data, stored = files.read(index), files.names[index]
                if self.shrink is None:
                    decode_image(data, name)
                else:
                    found, data = data, self.shrink(data, name)
                    if data is not found:
                        resized.append([len(found), len(data)])
                        stored = _jpeg_name(stored)
            except ValueError as error:
                reason = str(error).removeprefix(f"{name}: ")
                bad.append((shard.split, name, reason))
                with self.lock:
                    self.left_out(bad[-1:])
            else:
                writer.write(number, stored, data, label)
                labels.append(label)
            with self.lock:
                self.seen += 1
                self.bar.update(self.seen)
        return labels, bad, resized

    def finish(self, shards, kept):
        """Write what describes all shards, the index last."""
        names = [shard.name for shard in shards]
        paths = [self.out / name for name in names]
        sizes = [path.stat().st_size for path in paths]
        rows = [self.rows[name] for name in names]
        resized = sum((self.resized[name] for name in names), [])
        resized = np.array(resized, "int64").reshape(-1, 2)
        classes = json.dumps(self.splits["train"].class_names, indent=1)
        write_atomically(self.out / "classes.json", classes + "\n")
        bad = tuple(sorted(self.bad))
        table = as_table([("split", "name", "reason"), *bad])
        write_atomically(self.out / BAD_FILE, table)
        index = io.BytesIO()
        np.savez(index, **index_content(names, sizes, rows, self.shrink))
        write_atomically(self.out / INDEX_FILE, index.getvalue())
        return WrittenShards(
            str(self.out),
            tuple(map(str, paths)),
            sum(len(row[0]) for row in rows),
            sum(sizes) / 1e6,
            kept,
            bad,
            len(resized),
            *(resized.sum(0) / 1e6).tolist(),
        )


def _jpeg_name(name):
    """Return a name that says that a file has become a JPEG."""
    suffix = os.path.splitext(name)[1].lower()
    return name if SUFFIXES.get(suffix) == "JPEG" else f"{name}.jpg"
