import pytest

from keras_tricks import Recipe
from keras_tricks.ablation.sweep import make_sweep
from keras_tricks.training.fit_to_data import DataFacts, fit_to_data
from keras_tricks.training.input import choose_data_format

OTHERS = ["applications/VGG16", "hub/tiny", "mine.keras", "module:function"]


@pytest.mark.parametrize("model", OTHERS)
def test_defaults_of_our_networks_are_no_mistake(model):
    recipe = Recipe(model=model, activation="silu", drop_path=0.1, dropout=0.2)
    assert recipe.zero_gamma
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert choose_data_format(recipe) == "channels_last"
    first = recipe.replace(data_format="channels_first")
    assert choose_data_format(first) == "channels_first"


@pytest.mark.parametrize("model", OTHERS)
@pytest.mark.parametrize(
    "field, value",
    [("depth", 50), ("variant", "A"), ("width", 64), ("small_images", False)],
)
def test_what_only_our_networks_have_is_refused(model, field, value):
    expected = f"^`{field}` must be .* with model='{model}', which does not "
    with pytest.raises(ValueError, match=expected):
        Recipe(model=model, **{field: value})


@pytest.mark.parametrize("model", ["hub/tiny", "mine.keras"])
def test_networks_with_weights_are_fine_tuned(model):
    assert Recipe(model=model, frozen_norm=True, skip_head=True).skip_head
    with pytest.raises(ValueError, match="^`weights` must be None with model="):
        Recipe(model=model, weights="file.h5")


def test_an_application_with_weights_is_fine_tuned():
    fields = {"weights": "imagenet", "frozen_norm": True, "skip_head": True}
    assert Recipe(model="applications/VGG16", **fields).weights == "imagenet"


@pytest.mark.parametrize("name", ["baseline", "efficient"])
def test_a_preset_leaves_other_networks_alone(name):
    recipe = Recipe.preset(name, model="applications/VGG16")
    assert (recipe.variant, recipe.epochs) == ("D", 120)
    assert Recipe.preset("baseline").variant == "A"


def test_an_ablation_leaves_out_what_the_network_does_not_have():
    base = Recipe.preset("baseline", model="applications/VGG16")
    sweep = make_sweep(base, ["resnet_d", "zero_gamma", "cosine"])
    assert set(sweep.tricks) == {"zero_gamma", "cosine"}
    assert sweep.notes == ("resnet_d is left out: the network fixes variant.",)
    sweep = make_sweep(base.replace(model="mine.keras"), ["zero_gamma", "ema"])
    assert set(sweep.tricks) == {"ema"}


@pytest.mark.parametrize("side", [48, 300])
def test_data_choose_nothing_that_the_network_does_not_have(side):
    facts = DataFacts(1000, side, 3, in_files=True)
    fields = {"model": "applications/VGG16"}
    recipe, chosen = fit_to_data(fields, facts)
    assert not {choice.field for choice in chosen} & {"width", "small_images"}
    assert (recipe.width, recipe.small_images) == (16, True)
    assert fit_to_data({}, facts)[0].small_images == (side == 48)
