import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe, training
from keras_tricks.data import (
    Batches,
    ImageBatches,
    Preprocessing,
    TrainTransform,
)
from keras_tricks.report import batch_stages, write_batch_figure

from ..data.damaged_images import damaged_folder, encode, photo, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for label, name in enumerate(("cat", "dog")):
        for part, count in (("train", 9), ("val", 2)):
            files = {
                f"{i}.jpg": encode(photo(100 * label + i, 40 + i))
                for i in range(count)
            }
            write(f"{root}/{part}/{name}", files)
    return root


def batches_of(recipe):
    data = training.load_data(recipe)
    stages, _ = training.build_stages(recipe, data)
    return stages[0][1], data.class_names


def denormalized(batches, x):
    if batches.data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    own = getattr(batches, "preprocessing", batches)
    return x * np.asarray(own.std) + np.asarray(own.mean)


def check_last_column(batches, names, epoch, step, rows=5):
    """Compares what is drawn with the batch that training takes."""
    found = batch_stages(batches, names, epoch, step, rows)
    x, y = batches.batch(epoch, step)
    x = denormalized(batches, np.asarray(x))
    last = np.stack([row[-1].image for row in found.rows])
    np.testing.assert_allclose(last, x[:rows], atol=2e-3)
    for share, label in zip(np.asarray(y), found.labels, strict=False):
        if np.ndim(share) == 0:
            assert label == {names[share]: 1.0}
            continue
        wanted = {names[i]: v for i, v in enumerate(share.tolist()) if v}
        assert label == wanted
    assert len({tuple(s.title for s in row) for row in found.rows}) == 1
    return found


FILES = {
    "paper": (
        {},
        "original crop flip jitter lighting mixed",
    ),
    "all": (
        {"policy": "rand_augment", "erasing": 0.6, "cutmix_alpha": 1.0},
        "original crop flip policy jitter lighting erasing mixed",
    ),
    "mixed chains": (
        {"policy": "aug_mix"},
        "original crop flip policy jitter lighting mixed",
    ),
    "gray": (
        {"channels": 1, "erasing": 0.6},
        "original crop flip jitter lighting erasing mixed",
    ),
    "channels first": (
        {"data_format": "channels_first", "mixup_per": "sample",
         "cutmix_alpha": 1.0, "mixup_alpha": 0},
        "original crop flip jitter lighting mixed",
    ),
    "colors as they are": (
        {"color_jitter": 0, "lighting": 0, "mixup_alpha": 0,
         "policy": "trivial_augment"},
        "original crop flip policy",
    ),
    "repeated": (
        {"repeated_augmentation": 2},
        "original crop flip jitter lighting mixed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(FILES))
def test_the_last_image_is_what_training_sees(folder, case):
    fields, titles = FILES[case]
    recipe = Recipe(
        data_dir=str(folder), augmentation="crop", image_size=16,
        batch_size=6, seed=3, finish_on="host",
        **{"data_format": "channels_last", **fields},
    )  # fmt: skip
    batches, names = batches_of(recipe)
    for epoch, step in ((0, 0), (2, 1)):
        found = check_last_column(batches, names, epoch, step)
        row = found.rows[0]
        assert " ".join(stage.title for stage in row) == titles
        box = row[0].box
        assert row[1].note == f"{box.height} x {box.width}"
        for name, stages in zip(found.names, found.rows, strict=True):
            part, label, _ = name.split("/")
            assert part == "train" and label in names
            channels = fields.get("channels", 3)
            assert stages[1].image.shape == (16, 16, channels)
    if case == "repeated":
        assert found.names[0] == found.names[1]
        assert (found.rows[0][0].image == found.rows[1][0].image).all()


def test_each_step_changes_what_it_says(folder):
    batches, names = batches_of(
        Recipe(
            data_dir=str(folder), augmentation="crop", image_size=16,
            batch_size=12, erasing=0.5, finish_on="host", input_engine="grain",
        )
    )  # fmt: skip
    notes = set()
    for row in batch_stages(batches, names, rows=12).rows:
        at = {stage.title: stage for stage in row}
        flipped = at["flip"].note == "flipped"
        crop = at["crop"].image
        expected = crop[:, ::-1] if flipped else crop
        np.testing.assert_array_equal(at["flip"].image, expected)
        changed = at["erasing"].image != at["lighting"].image
        erased = at["erasing"].note != "none"
        assert changed.any() == erased
        # Lighting adds one color to every pixel.
        added = at["lighting"].image - at["jitter"].image
        np.testing.assert_allclose(
            added, np.broadcast_to(added[:1, :1], added.shape), atol=1e-3
        )
        assert "hue x " in at["jitter"].note and ", " in at["lighting"].note
        assert at["mixed"].note.startswith("MixUp, λ = ")
        notes |= {flipped, f"erased {erased}"}
    assert len(notes) == 4


ARRAYS = {
    "shift": "original augmented mixed",
    "shift_flip": "original augmented mixed",
    "none": "original mixed",
}


@pytest.mark.parametrize("name", list(ARRAYS))
def test_images_in_memory(name):
    recipe = Recipe(augmentation=name, batch_size=16, train_samples=64)
    batches, names = batches_of(recipe)
    found = check_last_column(batches, names, 1, 2)
    assert " ".join(s.title for s in found.rows[0]) == ARRAYS[name]
    plain = dataclasses.replace(recipe, mixup_alpha=0)
    found = check_last_column(*batches_of(plain), 1, 2)
    assert " ".join(s.title for s in found.rows[0]) == ARRAYS[name][:-6]


def test_bad_records_are_left_out(tmp_path):
    damaged_folder(tmp_path, good=4)
    recipe = Recipe(
        data_dir=str(tmp_path), augmentation="crop", image_size=16,
        batch_size=16, max_bad_records=8, finish_on="host",
    )  # fmt: skip
    batches, names = batches_of(recipe)
    found = check_last_column(batches, names, 0, 0, rows=16)
    assert len(found.rows) == 16
    strict, _ = batches_of(dataclasses.replace(recipe, max_bad_records=0))
    with pytest.raises(ValueError, match="At most 0 records"):
        batch_stages(strict, names)


def test_a_letterbox(folder):
    recipe = Recipe(
        data_dir=str(folder), augmentation="none", input_engine="grain",
        image_size=(16, 24), resize="letterbox", batch_size=6, mixup_alpha=0,
        finish_on="host",
    )  # fmt: skip
    batches, names = batches_of(recipe)
    (row, *_) = check_last_column(batches, names, 0, 1).rows
    assert [stage.title for stage in row] == ["original", "letterbox"]
    assert row[1].image.shape == (16, 24, 3)


def test_a_central_crop_and_unknown_mixers(folder):
    data = training.load_data(
        Recipe(data_dir=str(folder), augmentation="crop", image_size=16)
    )
    batches = ImageBatches(data.train, Preprocessing(16), 6, shuffle=True)
    (row, *_) = check_last_column(batches, data.class_names, 0, 1).rows
    assert [stage.title for stage in row] == ["original", "central crop"]

    def swap(images, labels, epoch, step):
        return images[::-1], labels

    batches = ImageBatches(
        data.train,
        Preprocessing(16),
        6,
        transform=TrainTransform(16),
        mix_up=swap,
    )
    found = check_last_column(batches, data.class_names, 0, 1)
    assert found.rows[0][-1].note == ""


def test_the_figure(folder, tmp_path):
    batches, names = batches_of(
        Recipe(
            data_dir=str(folder), augmentation="crop", image_size=16,
            batch_size=6, finish_on="host",
        )
    )  # fmt: skip
    stages = batch_stages(batches, names, rows=3)
    path = write_batch_figure(tmp_path / "batch.png", stages, "A $title$")
    image = Image.open(io.BytesIO(path.read_bytes()))
    assert image.format == "PNG"
    # Six steps and the label, three rows.
    assert image.width == pytest.approx(7 * 190, abs=2)
    assert 3 * 190 < image.height < 3 * 300
    # The orange of the crop's rectangle is in the first column only.
    pixels = np.asarray(image.convert("RGB")).astype(int)
    orange = (abs(pixels - [0xD5, 0x5E, 0x00]).max(-1) < 8).any(0)
    assert orange[:190].any() and not orange[200:].all()
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        write_batch_figure(tmp_path / "no" / "batch.png", stages)


def test_mistakes():
    batches = Batches(
        np.zeros((8, 4, 4, 1), "uint8"), np.arange(8) % 2, 4, mean=0, std=1
    )
    cases = {"epoch": -1, "step": 2, "rows": 0}
    for name, value in cases.items():
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received"):
            batch_stages(batches, ("a", "b"), **{name: value})
    assert len(batch_stages(batches, ("a", "b"), rows=99).rows) == 4
