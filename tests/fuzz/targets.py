"""What is damaged, read, and judged: weights, shards, backups, folders.

A target makes its files from a number, reads them, and returns what is wrong
with the result, or None. Errors of the types in `EXPECTED`, of one line, are
as right as a result.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile

import h5py
import keras
import numpy as np
from mutations import mutate, replace_pickles
from PIL import Image

from keras_tricks import _files
from keras_tricks.callbacks import Backup
from keras_tricks.data import (
    ClassNames,
    inspect_images,
    open_folder_splits,
    open_images,
    open_record_shards,
    open_tar_shards,
    write_shards,
)
from keras_tricks.data.sources.load_folder import load_folder
from keras_tricks.data.transforms import decode_image
from keras_tricks.models.weights._source import read_source
from keras_tricks.models.weights.readers import to_bytes

EXPECTED = (ValueError, OSError, ImportError)
CLASSES = ClassNames(("ant", "bee"))


def small_model():
    """A network whose files are a few kilobytes."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3)]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    return keras.Sequential(layers)


class Weights:
    """Files of weights in each format that is read."""

    def __init__(self, folder):
        import torch

        self.folder, self.model = folder, small_model()
        rng = np.random.default_rng(0)
        tensors = {
            "conv.weight": rng.normal(size=(4, 3, 3, 3)).astype("float32"),
            "fc.bias": rng.normal(size=4).astype("float32"),
            "steps": np.arange(3),
        }
        files = {
            f"a{suffix}": to_bytes(tensors, suffix)
            for suffix in (".npz", ".safetensors", ".pth")
        }
        old = io.BytesIO()
        state = {k: torch.from_numpy(v) for k, v in tensors.items()}
        torch.save(
            {"state_dict": state, "epoch": 3},
            old,
            _use_new_zipfile_serialization=False,
        )
        files["old.pth"] = old.getvalue()
        packed = io.BytesIO()
        np.savez_compressed(packed, **tensors)
        files["packed.npz"] = packed.getvalue()
        with h5py.File(folder / "a.h5", "w") as file:
            for name, tensor in tensors.items():
                file[f"model_weights/{name}/{name}:0"] = tensor
            file.create_dataset(
                "model_weights/b/b:0", data=np.ones((64, 64)), compression=4
            )
        self.model.save(folder / "a.keras")
        self.model.save_weights(folder / "a.weights.h5")
        for name in ("a.h5", "a.keras", "a.weights.h5"):
            files[name] = (folder / name).read_bytes()
        self.files = dict(sorted(files.items()))
        known = [*tensors.values(), *map(np.asarray, self.model.get_weights())]
        self.known = {digest(array) for array in known}

    def run(self, rng, canary):
        """Damage one file, or put code into it, and read it."""
        name = [*self.files][rng.integers(len(self.files))]
        data, signed = self.files[name], True
        if rng.random() < 0.02:
            data = replace_pickles(data, canary)
        else:
            data, signed = mutate(rng, data)
        path = self.folder / f"read_{name}"
        path.write_bytes(data)
        try:
            tensors = read_source(str(path), None, self.model).tensors
        finally:
            path.unlink()
        size = sum(tensor.nbytes for tensor in tensors.values())
        if size > 1100 * len(data):
            return f"{size} bytes out of {len(data)}"
        for key, tensor in tensors.items():
            if tensor.dtype.hasobject:
                return f"{key} holds objects"
            # Of archives, whose files have checksums.
            summed = name.endswith((".npz", "a.pth"))
            if summed and not signed and digest(tensor) not in self.known:
                return f"{key} has changed"
        return None


def digest(array):
    """Return what tells an array from others."""
    content = np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(str(array.shape).encode() + content).digest()


class Shards:
    """Folders of shards of each kind, with and without an index."""

    def __init__(self, folder):
        images = folder / "images"
        for i in range(8):
            path = images / CLASSES.names[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 8), (i, 2 * i, 255 - i)).save(path)
        train, val = open_folder_splits(images)
        self.folder, self.kinds = folder, []
        for kind in ("tfrecord", "array_record", "webdataset"):
            out = folder / kind
            write_shards({"train": train, "val": val}, out, kind, shards=1)
            self.kinds.append(kind)

    def run(self, rng, canary):
        """Damage a file of a folder, and read all records."""
        kind = self.kinds[rng.integers(len(self.kinds))]
        out = self.folder / "read"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.folder / kind, out)
        if rng.integers(2):
            (out / "index.npz").unlink()
        shards = [p for p in out.iterdir() if p.name.startswith("train")]
        others = [p for p in (out / "index.npz", out / "classes.json")]
        files = shards + [p for p in others if p.exists()]
        path = sorted(files)[rng.integers(len(files))]
        if path.name == "index.npz" and rng.random() < 0.1:
            data = replace_pickles(path.read_bytes(), canary)
        else:
            data, _ = mutate(rng, path.read_bytes())
        path.write_bytes(data)
        tar = kind == "webdataset"
        opened = (open_tar_shards if tar else open_record_shards)(
            out, split="train"
        )
        for i in range(len(opened)):
            try:
                data, label = opened.record(i)
                decode_image(data, opened.name(i))
            except ValueError as error:
                check_line(error)
                continue
            if not 0 <= label < len(opened.classes):
                return f"label {label}"
        return None


class Backups:
    """Folders with two backups."""

    def __init__(self, folder):
        self.folder, self.model = folder, small_model()
        self.model.compile(keras.optimizers.SGD(0.1, 0.9), "mse")
        self.model.optimizer.build(self.model.trainable_variables)
        backup = self._backup(folder / "whole")
        backup.set_model(self.model)
        for epoch in (1, 2):
            self._set(epoch)
            backup.logs[0].write_text("epoch\n" + "0\n" * epoch)
            backup.on_epoch_end(epoch - 1)

    def _backup(self, folder):
        folder.mkdir(exist_ok=True)
        return Backup(folder / "backup", logs=[folder / "history.csv"])

    def _set(self, number):
        for weight in self.model.weights:
            weight.assign(np.full(weight.shape, number, "float32"))

    def run(self, rng, canary):
        """Damage a file, or a name, and restore."""
        folder = self.folder / "read"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / "whole", folder)
        last = folder / "backup" / "epoch_00002"
        self._damage(rng, last, canary)
        backup = self._backup(folder)
        self._set(9)
        before = backup.logs[0].read_bytes()
        try:
            epoch = backup.restore(self.model)
        except EXPECTED:
            epoch = 9
            if backup.logs[0].read_bytes() != before:
                return "the log has changed"
            raise
        finally:
            found = {float(np.unique(w)[0]) for w in self.model.get_weights()}
        if found != {float(epoch)}:
            return f"weights {found} as of epoch {epoch}"
        return None

    def _damage(self, rng, last, canary):
        kind = rng.integers(10)
        if kind == 0:
            name = f"epoch_{rng.integers(12):0{rng.integers(1, 7)}d}"
            if not (last.parent / name).exists():
                shutil.copytree(last, last.parent / name)
            return
        if kind == 1:
            target = last.parent / f"epoch_0000{rng.integers(3, 9)}"
            (target.write_bytes(b"x"), target.unlink(), target.symlink_to(last))
            return
        files = sorted(last.iterdir())
        path = files[rng.integers(len(files))]
        if kind == 2:
            path.unlink()
        elif kind == 3 and path.suffix == ".npz":
            path.write_bytes(replace_pickles(path.read_bytes(), canary))
        else:
            path.write_bytes(mutate(rng, path.read_bytes() or b"0")[0])
        if rng.integers(2):  # With checksums that are right.
            (last / _files.SUMS).unlink(missing_ok=True)
            _files.write_sums(last)


class Folders:
    """Folders of images, of odd names, links and pipes."""

    FORMATS = ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm", "jpeg2000")

    def __init__(self, folder):
        self.folder, self.images = folder, {}
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (24, 20, 3), "uint8")
        for kind in (*self.FORMATS, "eps"):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, kind)
            self.images[kind] = file.getvalue()

    def run(self, rng, canary):
        """Make a folder of which half is damaged; check and load it."""
        root = self.folder / "read"
        shutil.rmtree(root, ignore_errors=True)
        kinds = [*self.images]
        for i in range(10):
            path = root / CLASSES.names[i % 2] / self._name(rng, i)
            path.parent.mkdir(parents=True, exist_ok=True)
            data = self.images[kinds[rng.integers(len(kinds))]]
            path.write_bytes(mutate(rng, data)[0] if i > 3 else data)
        odd = root / "ant" / "odd.png"
        [
            lambda: os.mkfifo(odd),
            lambda: odd.symlink_to("/dev/zero"),
            lambda: odd.symlink_to(root),
            lambda: odd.mkdir(),
            lambda: odd.write_bytes(b""),
        ][rng.integers(5)]()
        if rng.random() < 0.2:
            return self._archive(root)
        images = open_images(data_dir=root)
        report = inspect_images(images)
        count = len(images.train) + len(images.test)
        told = sum(len(split) for split in report.splits)
        if told != count:
            return f"{told} of {count} images in the report"
        data = load_folder(root, 8, max_bad_records=20)
        found = len(data.x_train) + len(data.x_test)
        usable = sum(len(split.usable) for split in report.splits)
        if found != usable:
            return f"{found} images loaded, and {usable} said to be usable"
        return None

    def _archive(self, root):
        from keras_tricks.data import open_image_files

        path = root.with_suffix(".tar")
        with tarfile.open(path, "w") as tar:
            tar.add(root, "x")
        files = open_image_files(path)
        for i in range(len(files)):
            try:
                files[i]
            except ValueError as error:
                check_line(error)
        return None

    def _name(self, rng, i):
        names = "{}.png", "{}.JPG", "ü{}.webp", "{}\n.tif", "={}.gif", "{}"
        return names[rng.integers(len(names))].format(i)


class Tables:
    """A table of labels beside images, in each form that is read."""

    def __init__(self, folder):
        self.folder, self.texts = folder, []
        rows = [("ant", "bee") if i % 2 else ("bee",) for i in range(12)]
        for index in range(12):
            Image.new("RGB", (9, 9)).save(folder / f"{index}.png")
        names = [f"{i}.png,{'|'.join(row)}" for i, row in enumerate(rows)]
        ones = [
            f"{i % 2},1,{i}.png,{'val' if i % 3 else 'train'}"
            for i in range(12)
        ]
        listed = {f"{i}.png": row for i, row in enumerate(rows)}
        for name, lines in (
            ("labels.csv", ["file,labels", *names]),
            ("labels.csv", ["ant,bee,file,split", *ones]),
            ("labels.tsv", [line.replace(",", "\t") for line in names]),
            ("labels.json", [json.dumps(listed)]),
        ):
            self.texts.append((name, "\n".join(lines).encode()))

    def run(self, rng, canary):
        """Damage a table; check and load what is beside it."""
        for path in self.folder.glob("labels.*"):
            path.unlink()
        name, text = self.texts[rng.integers(len(self.texts))]
        (self.folder / name).write_bytes(mutate(rng, text)[0])
        images = open_images(data_dir=self.folder)
        flaws = len(images.train.flaws) + len(images.test.flaws)
        bad = len(inspect_images(images).bad)
        if bad != flaws:
            return f"{flaws} flaws, and {bad} bad records"
        data = load_folder(self.folder, 8, max_bad_records=20)
        found = len(data.x_train) + len(data.x_test)
        count = len(images.train) + len(images.test)
        if found != count - flaws:
            return f"{found} images loaded of {count} with {flaws} flaws"
        return None


def check_line(error):
    """Raise an AssertionError unless an error is one line of fair length."""
    text = str(error)
    assert text and len(text.splitlines()) == 1, f"no line: {text[:300]!r}"
    assert len(text) < 2000, f"a line of {len(text)} characters"


TARGETS = {
    "weights": Weights,
    "shards": Shards,
    "backups": Backups,
    "folders": Folders,
    "tables": Tables,
}
