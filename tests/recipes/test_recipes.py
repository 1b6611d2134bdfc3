import pathlib

import numpy as np
import pytest
from keras import ops

from keras_tricks import Recipe, training
from keras_tricks.models import ResNet
from keras_tricks.report import run_report
from keras_tricks.training.input import model_image_shape

from ..training.small_network import small_network

ROOT = pathlib.Path(__file__).parents[2]
FLAGFILES = ROOT / "recipes" / "flags"
NAMES = sorted(path.stem for path in FLAGFILES.glob("*.flags"))
PAPER = ("efficiency_", "model_", "refinement_", "teacher_")
# Of fine-tuning on images of your own.
NO_NUMBER = ("bit_small_data", "laptop_head")
FINE_TUNING = ["fixres_384", "bit_small_data", "laptop_head"]
# These have a test of their own.
OF_THEIR_OWN = [*FINE_TUNING, "patient_consistent_1200"]
OTHERS = [name for name in NAMES if not name.startswith(PAPER)]
# Peak rate, batch, epochs and size of the sources' own tables.
FACTS = {
    "torchvision_00_baseline": (0.1, 256, 90, 224),
    "torchvision_01_learning_rate": (0.5, 1024, 90, 224),
    "torchvision_12_repeated_augmentation": (0.5, 1024, 600, 176),
    "rsb_a1": (5e-3, 2048, 600, 224),
    "rsb_a2": (5e-3, 2048, 300, 224),
    "rsb_a3": (8e-3, 2048, 100, 160),
    "resnet_rs_50": (1.6, 4096, 350, 160),
    "fixres_384": (0.008, 512, 56, 384),
    "patient_consistent_1200": (0.03, 4096, 1200, 224),
    "bit_small_data": (0.003, 512, 50, 480),
    "laptop_head": (0.0025, 32, 20, 128),
}


@pytest.fixture(scope="module")
def recipes(load_script):
    return load_script("recipes")


@pytest.fixture
def parse(load_script):
    """A function that reads a flagfile as train.py does."""
    from absl import flags

    recipe_flags = load_script("recipe_flags")

    def read(name):
        values = flags.FlagValues()
        recipe_flags.define(values)
        values(["train.py", f"--flagfile={FLAGFILES / name}.flags"])
        return recipe_flags.recipe_from_flags(values)

    return read


@pytest.mark.parametrize("name", FACTS)
def test_a_recipe_has_the_numbers_of_its_source(name, parse):
    recipe = parse(name)
    found = recipe.learning_rate, recipe.batch_size, recipe.epochs
    assert (*found, recipe.image_size) == pytest.approx(FACTS[name])


def test_each_step_of_torchvision_changes_what_it_says(parse):
    steps = [name for name in NAMES if name.startswith("torchvision_")]
    changed = []
    for before, after in zip(steps, steps[1:], strict=False):
        old, new = vars(parse(before)), vars(parse(after))
        changed.append({key for key in new if new[key] != old[key]})
    assert changed == [
        {
            "batch_size",
            "base_learning_rate",
            "warmup_epochs",
            "schedule",
            "step_epochs",
        },
        {"policy"},
        {"epochs"},
        {"erasing"},
        {"label_smoothing"},
        {"mixup_alpha"},
        {"cutmix_alpha"},
        {"weight_decay", "decay"},
        {"image_size", "test_image_size"},
        {"ema_decay"},
        {"crop_ratio"},
        {"repeated_augmentation"},
    ]


def in_small(recipe, **changes) -> Recipe:
    return recipe.replace(
        width=2,
        small_images=not recipe.streams,
        image_size=32 if recipe.streams else None,
        test_image_size=32 if recipe.streams else None,
        epochs=1,
        warmup_epochs=0.0,
        step_epochs=None,
        batch_size=8,
        dataset="digits",
        train_samples=16,
        test_samples=10,
        **changes,
    )


@pytest.mark.parametrize("name", OTHERS)
def test_a_recipe_is_explained(name, parse):
    recipe = parse(name)
    model = ResNet(18, recipe.variant, num_classes=4, width=2)
    text = recipe.explain(model, 1_281_167)
    updates = 1_281_167 // recipe.batch_size * recipe.epochs
    assert f"= {updates}, each of {recipe.batch_size} images" in text


@pytest.mark.parametrize(
    "name",
    [
        "torchvision_12_repeated_augmentation",
        "rsb_a1",
        "rsb_a3",
        "resnet_rs_50",
    ],
)
def test_a_recipe_trains(name, parse, tmp_path):
    result = training.train(in_small(parse(name)), tmp_path, verbose=0)
    assert result["epochs"] == 1 and result["val_crossentropy"] > 0


@pytest.mark.filterwarnings("ignore:The teacher is no better")
@pytest.mark.parametrize("name", sorted({*NAMES} - {*OF_THEIR_OWN}))
def test_each_trains_a_small_network(name, parse, tmp_path, monkeypatch):
    """All but the network: data, loss, optimizer, schedule and callbacks."""
    monkeypatch.setattr(training.run, "build_model", small_network)
    monkeypatch.setattr(run_report, "_figures", lambda run: [])
    recipe = in_small(parse(name), depth=18)
    if recipe.teacher is not None:
        path = trained(recipe.replace(teacher=None), tmp_path / "teacher.keras")
        recipe = recipe.replace(teacher=path)
    result = training.train(recipe, tmp_path / "run", verbose=0)
    assert result["epochs"] == 1 and result["val_crossentropy"] > 0


def trained(recipe, path):
    """Saves a network as a recipe in small has it; returns the path."""
    plain = recipe.replace(
        weights=None,
        skip_head=False,
        freeze=None,
        cache_features="off",
        zero_gamma=False,
    )
    shape = model_image_shape(plain, training.load_data(plain))
    training.build_model(plain, shape, 10).save(path)
    return str(path)


@pytest.mark.parametrize("name", FINE_TUNING)
def test_a_recipe_of_fine_tuning_trains(name, parse, tmp_path):
    depth = 50 if name == "fixres_384" else 18  # It names a norm of 50.
    recipe = in_small(parse(name), depth=depth)
    weights = trained(recipe, tmp_path / "trained.keras")
    recipe = recipe.replace(weights=weights)
    run = training.prepare(recipe, tmp_path / "run")
    network = getattr(run.model, "student", run.model)
    before = network.get_weights()
    assert run.fit(verbose=0)["epochs"] == 1
    moved = [
        weight.path
        for weight, old in zip(network.weights, before, strict=True)
        if not np.array_equal(ops.convert_to_numpy(weight), old)
    ]
    head = ["logits/kernel", "logits/bias"]
    norm = "stage4_block3/conv3/norm/moving_"
    if name == "bit_small_data":
        assert len(moved) == len(before)
    elif name == "fixres_384":
        assert moved == [f"{norm}mean", f"{norm}variance", *head]
    else:
        assert moved == head


@pytest.mark.filterwarnings("ignore:The teacher is no better")
def test_a_patient_student_has_no_labels(parse, tmp_path):
    recipe = in_small(parse("patient_consistent_1200"), depth=18)
    teacher = trained(recipe, tmp_path / "teacher.keras")
    recipe = recipe.replace(teacher=teacher)
    run = training.prepare(recipe, tmp_path / "run")
    assert "weights 0 : 1" in run.explanation
    assert run.fit(verbose=0)["epochs"] == 1


def test_the_list_and_one_of_it(recipes, capsys):
    recipes.main(["recipes.py"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(NAMES)]] == NAMES
    assert any(
        line.startswith("rsb_a2 ") and " 79.8 " in line for line in lines
    )
    recipes.main(["recipes.py", "rsb_a2"])
    text = capsys.readouterr().out
    assert "arxiv.org/abs/2110.00476" in text and "--epochs=300" in text
    with pytest.raises(SystemExit, match="The name must be one of .*rsb_a9"):
        recipes.main(["recipes.py", "rsb_a9"])


def test_each_says_where_it_is_from(recipes):
    for recipe in recipes.published():
        assert recipe.summary.endswith(".") and recipe.flags
        assert recipe.source.startswith("https://")
        without = recipe.name.startswith(PAPER) or recipe.name in NO_NUMBER
        assert without or recipe.accuracy


def test_a_flagfile_without_a_source_is_refused(recipes, tmp_path):
    path = tmp_path / "a.flags"
    path.write_text("# A recipe.\n--epochs=3\n")
    with pytest.raises(ValueError, match="must begin with a summary and"):
        recipes.read_flagfile(path)


def test_the_page_is_that_of_the_flagfiles(recipes):
    page = (ROOT / "docs" / "recipes_published.md").read_text("utf-8")
    assert recipes.as_markdown(recipes.published()) in page
