import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe, _backend
from keras_tricks.training import DataFacts, fit_to_data, look_at_data

PHOTOS = DataFacts(1000, 333, 3, in_files=True)
ICONS = DataFacts(1000, 45, 3, in_files=True)
CIFAR = look_at_data("cifar10")


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(_backend, "has_accelerator", lambda: False)


def chosen(fields, facts):
    recipe, choices = fit_to_data(fields, facts)
    assert all(choice.field not in fields for choice in choices)
    for choice in choices:
        assert getattr(recipe, choice.field) == choice.value
    # What is not said is as by default or as given.
    same = {choice.field for choice in choices} | fields.keys()
    default = Recipe()
    for field in set(vars(default)) - same:
        assert getattr(recipe, field) == getattr(default, field), field
    return recipe


def test_photos_are_cropped_as_large_as_a_cpu_can(monkeypatch):
    recipe = chosen({}, PHOTOS)
    assert recipe.image_size == 128 and recipe.width == 32
    assert recipe.augmentation == "crop" and not recipe.small_images
    assert (recipe.batch_size, recipe.epochs) == (32, 100)
    assert (recipe.warmup_epochs, recipe.mixup_alpha) == (5.0, 0.2)
    monkeypatch.setattr(_backend, "has_accelerator", lambda: True)
    recipe = chosen({}, PHOTOS)
    assert recipe.image_size == 224 and recipe.width == 64


def test_small_images_keep_their_size():
    recipe = chosen({}, ICONS)
    assert recipe.image_size == 40 and recipe.small_images
    assert recipe.augmentation == "shift_flip"
    recipe = chosen({"dataset": "cifar10"}, CIFAR)
    assert recipe.image_size is None and recipe.small_images
    assert (recipe.batch_size, recipe.epochs) == (256, 20)
    assert recipe.augmentation == "shift_flip"
    assert recipe.mixup_alpha == 0.0  # Of 20 epochs.
    recipe = chosen({"dataset": "mnist"}, look_at_data("mnist"))
    assert recipe.augmentation == "shift"


def test_imagenet_has_the_length_of_the_paper():
    recipe = chosen({}, DataFacts(1_281_167, 375, 3, in_files=True))
    assert (recipe.epochs, recipe.warmup_epochs) == (120, 5.0)
    assert recipe.batch_size == 256


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": 1},
        {"epochs": 3, "batch_size": 4},
        {"image_size": 32},
        {"image_size": 32, "erasing": 0.25},
        {"augmentation": "none"},
        {"input_engine": "memory"},
        {"input_engine": "grain"},
        {"gradient_accumulation_steps": 3},
        {"progressive_sizes": (64, 96)},
        {"epochs": 20, "mixup_off_epochs": 2},
        {"train_samples": 10},
        {"schedule": "step"},
        {"width": 8, "small_images": True},
    ],
)
@pytest.mark.parametrize("facts", [PHOTOS, ICONS])
def test_what_is_given_stays_and_fits(fields, facts):
    recipe = chosen(fields, facts)
    for name, value in fields.items():
        assert getattr(recipe, name) == value
    count = fields.get("train_samples", facts.count)
    assert recipe.batch_size <= count


def test_what_crops_need_brings_crops():
    assert chosen({"erasing": 0.25}, ICONS).augmentation == "crop"
    assert chosen({"crop_ratio": 1.0}, ICONS).augmentation == "crop"


def test_mistakes_come_before_the_data():
    with pytest.raises(ValueError, match="`mixup_alpha` must be"):
        fit_to_data({"data_dir": "/nowhere", "mixup_alpha": -1.0})
    with pytest.raises(ValueError, match=r"is it 'epochs'\?"):
        fit_to_data({"epoch": 3}, PHOTOS)
    with pytest.raises(FileNotFoundError, match="`data_dir` must be"):
        fit_to_data({"data_dir": "/nowhere"})


def test_facts_of_a_folder(tmp_path, capsys):
    sizes = [(80, 60), (100, 120), (90, 90)]
    for label in ("cat", "dog"):
        folder = tmp_path / label
        folder.mkdir()
        for index, size in enumerate(sizes):
            Image.new("RGB", size).save(folder / f"{index}.png")
        (folder / "9.jpg").write_bytes(b"none")
    facts = look_at_data(data_dir=str(tmp_path))
    assert facts.in_files and facts.channels == 3
    assert facts.count == 6  # A fifth of each class, rounded, is held out.
    assert 60 <= facts.side <= 100
    assert not capsys.readouterr().err


def test_facts_of_arrays(tmp_path):
    images = np.zeros((6, 20, 16, 1), "uint8")
    labels = np.arange(6) % 2
    np.savez(
        tmp_path / "a.npz",
        x_train=images,
        y_train=labels,
        x_test=images,
        y_test=labels,
    )
    facts = look_at_data(data_dir=str(tmp_path / "a.npz"))
    assert facts == DataFacts(6, 16, 1, in_files=False)


def test_facts_of_shards_and_hubs(tmp_path):
    (tmp_path / "train-00000-of-00001.tfrecord").write_bytes(b"")
    facts = look_at_data(data_dir=str(tmp_path))
    assert facts.in_files and facts.count is None
    recipe = chosen({"data_dir": str(tmp_path)}, facts)
    assert recipe.augmentation == "crop" and not recipe.small_images
    assert look_at_data("huggingface/beans") is None
