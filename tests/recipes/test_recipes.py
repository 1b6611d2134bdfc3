import pathlib

import pytest

from keras_tricks import Recipe, training
from keras_tricks.models import ResNet

ROOT = pathlib.Path(__file__).parents[2]
FLAGFILES = ROOT / "recipes" / "flags"
NAMES = sorted(path.stem for path in FLAGFILES.glob("*.flags"))
PAPER = ("efficiency_", "model_", "refinement_", "teacher_")
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
        image_size=32,
        test_image_size=32,
        epochs=1,
        warmup_epochs=0.0,
        step_epochs=None,
        batch_size=8,
        dataset="digits",
        train_samples=16,
        test_samples=8,
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
        assert recipe.name.startswith(PAPER) or recipe.accuracy


def test_a_flagfile_without_a_source_is_refused(recipes, tmp_path):
    path = tmp_path / "a.flags"
    path.write_text("# A recipe.\n--epochs=3\n")
    with pytest.raises(ValueError, match="must begin with a summary and"):
        recipes.read_flagfile(path)


def test_the_page_is_that_of_the_flagfiles(recipes):
    page = (ROOT / "docs" / "recipes_published.md").read_text("utf-8")
    assert recipes.as_markdown(recipes.published()) in page
