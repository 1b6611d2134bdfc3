"""Names of folders and files that are hard to show."""

import json
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import (
    ImageBatches,
    Preprocessing,
    TooManyBadRecords,
    inspect_images,
    open_folder_splits,
    open_image_files,
    open_images,
    open_tar_shards,
    verify_shards,
    write_shards,
)
from keras_tricks.data.sources.load_folder import load_folder
from keras_tricks.recipe import Recipe
from keras_tricks.report import (
    batch_stages,
    write_batch_figure,
    write_data_report,
)
from keras_tricks.training.run_folder import open_folder

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems refuse such names"
)
COMPOSED = unicodedata.normalize("NFC", "café")
APART = unicodedata.normalize("NFD", "café")
# Names of folders, and of the classes that they are.
CLASSES = {
    b"=1+1": "=1+1",
    b"a\n\tb\x1b[31m": "a\\n\\tb\\x1b[31m",
    APART.encode(): COMPOSED,
    b"latin-\xe9": "latin-\\xe9",
    "猫".encode(): "猫",
}
BAD = {
    b"=1+1/=2.png": "'=1+1/=2.png",
    b"latin-\xe9/\xff\n.png": "latin-\\xe9/\\xff\\n.png",
}


@pytest.fixture
def folder(tmp_path):
    """Four good images of each class, and bad ones."""
    root = os.fsencode(tmp_path) + b"/d\xe4ta"
    for i, name in enumerate(CLASSES):
        os.makedirs(root + b"/" + name)
        for j in range(4):
            pixels = np.full((9, 8, 3), 40 * i + j, "uint8")
            path = root + b"/%s/%d\xff.png" % (name, j)
            Image.fromarray(pixels).save(os.fsdecode(path))
    for name in BAD:
        Path(os.fsdecode(root + b"/" + name)).write_bytes(b"damaged")
    Path(os.fsdecode(root + b"/latin-\xe9/\x1b[2J.txt")).write_text("")
    return os.fsdecode(root)


def is_clean(text):
    text.encode("utf-8")
    return not {*text} & {"\x1b", "\ufffd"}


def test_training_goes_on(folder, tmp_path, capsys):
    images = open_images(data_dir=folder)
    assert images.class_names == tuple(sorted(CLASSES.values()))
    assert images.name == "d\\xe4ta" and is_clean(repr(images))
    limits = {"max_bad_records": 2, "bad_records_path": tmp_path / "bad.tsv"}
    bad = 0
    for split in (images.train, images.test):
        batches = ImageBatches(split, Preprocessing(8), 4, **limits)
        for _ in range(2):  # A restart reads what the backup knows.
            state = json.loads(json.dumps(batches.get_state()))
            batches.set_state(state)
            list(map(batches.__getitem__, range(len(batches))))
            batches.on_epoch_end()
        bad += len(batches.bad)
        if len(batches.bad):
            text = (tmp_path / "bad.tsv").read_text("utf-8")
            names = [line.partition("\t")[0] for line in text.splitlines()]
            assert {*names} <= {*BAD.values()}
    told = capsys.readouterr().err
    assert bad == 2 and is_clean(told)
    assert "1 no image (latin-\\xe9/\\x1b[2J.txt)\n" in told
    assert "\n  latin-\\xe9/\\xff\\n.png: no image of a known form" in told


def test_too_many_are_named(folder):
    with pytest.raises(ValueError, match="At most 1 .*Received: ") as caught:
        load_folder(folder, 8, max_bad_records=1)
    assert is_clean(str(caught.value)) and "\n" not in str(caught.value)
    data = load_folder(folder, 8, max_bad_records=2)
    assert data.class_names == tuple(sorted(CLASSES.values()))
    files = open_image_files(folder)
    batches = ImageBatches(files, Preprocessing(8), 4)
    with pytest.raises(TooManyBadRecords) as caught:
        list(map(batches.__getitem__, range(len(batches))))
    assert is_clean(str(caught.value)) and "\n" not in str(caught.value)


def test_a_run_folder_is_text():
    with pytest.raises(ValueError, match="`run_folder` must .* UTF-8. Rec"):
        open_folder(Recipe(), os.fsdecode(b"r\xfcn"), "auto", writes=True)


def test_reports(folder, tmp_path):
    images = open_images(data_dir=folder)
    report = inspect_images(images)
    assert len(report.bad) == 2
    content = json.dumps(report.to_dict(), ensure_ascii=False)
    assert is_clean(content)
    page = write_data_report(tmp_path / "report.html", report, images)
    html = page.read_text("utf-8")
    assert is_clean(html)
    for name in ("latin-\\xe9", "=1+1", "猫", COMPOSED):
        assert name in html
    batches = ImageBatches(
        open_image_files(folder), Preprocessing(8), 20, max_bad_records=2
    )
    stages = batch_stages(batches, images.class_names, rows=8)
    assert all(is_clean(name) for name in stages.names)
    write_batch_figure(tmp_path / "batch.png", stages, title="猫")


def test_shards(folder, tmp_path):
    train, test = open_folder_splits(folder)
    splits, out = {"train": train, "val": test}, tmp_path / "out"
    written = write_shards(splits, out, "webdataset", 1, max_bad_records=2)
    assert written.records == 20 and verify_shards(splits, out, "webdataset")
    text = (out / "bad_records.tsv").read_text("utf-8")
    names = {line.split("\t")[1] for line in text.splitlines()[1:]}
    assert names == {*BAD.values()} and is_clean(text)
    assert open_tar_shards(out, split="train").classes == train.classes


def test_content_without_a_suffix_goes_into_shards(tmp_path):
    for name in ("ant/1", "ant/2.txt", "bee/1", "bee/2"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 9)).save(path, "webp")
    train, test = open_folder_splits(tmp_path / "root", 0.5)
    splits, out = {"train": train, "val": test}, tmp_path / "out"
    write_shards(splits, out, "webdataset", 1)
    assert verify_shards(splits, out, "webdataset") == 4
    shards = open_tar_shards(out, split="train")
    assert shards.name(0).endswith(".webp")


def test_a_class_may_be_written_in_two_ways(tmp_path):
    for folder in ("train/" + COMPOSED, "val/" + APART, "train/x", "val/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.png").touch()
    train, test = open_folder_splits(tmp_path)
    assert train.class_names == test.class_names == (COMPOSED, "x")
    assert train.labels.tolist() == test.labels.tolist() == [0, 1]
    assert open_image_files(tmp_path).labels.tolist() == [0, 1]
    for classes in (None, train.classes):
        files = open_image_files(tmp_path / "val", classes)
        assert files.labels.tolist() == [0, 1]
    (tmp_path / "train" / APART).mkdir()
    for listed in (open_folder_splits, open_image_files):
        with pytest.raises(ValueError, match=f"class. Received: {COMPOSED} tw"):
            listed(tmp_path)
