import types

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

from keras_tricks import Recipe, _backend, data, models, optimizers
from keras_tricks.recipe.plan import make_plan, make_schedule
from keras_tricks.training import (
    build_data,
    build_model,
    build_optimizer,
    compile_model,
)
from keras_tricks.training.build import build_average
from keras_tricks.training.input import build_mix_up

SMALL = {"width": 2, "batch_size": 16, "train_samples": 40, "test_samples": 20}


def recipe_of(**fields):
    return Recipe(**{"data_format": "channels_last", **SMALL, **fields})


def batches_of(**fields):
    return build_data(recipe_of(**fields))[1:]


def test_data_are_as_many_as_the_recipe_says():
    loaded, train, validation = build_data(recipe_of())
    assert (loaded.name, loaded.image_shape) == ("digits", (8, 8, 1))
    assert (len(train.images), len(validation.images)) == (40, 20)
    assert (train.num_batches, validation.num_batches) == (2, 2)
    assert validation[1][0].shape == (4, 8, 8, 1)
    assert batches_of(test_samples=10)[1].batch_size == 10


def test_the_seed_decides_images_order_and_augmentation():
    first, same, other = (batches_of(seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[1][0], same[1][0])
    assert not np.array_equal(first.images, other.images)
    assert (first.seed, other.seed) == (0, 1)


@pytest.mark.parametrize("name", ["none", "shift", "shift_flip"])
def test_only_training_images_are_augmented_and_shuffled(name):
    train, validation = batches_of(augmentation=name)
    assert train.augment is data.transforms.augmentation(name)
    assert train.shuffle
    assert validation.augment is validation.mix_up is None
    assert not validation.shuffle


def test_validation_is_normalized_as_training_is():
    train, validation = batches_of()
    mean, std = data.transforms.channel_statistics(train.images)
    pixels = (validation.images[:16] - mean.astype("float64")) / std
    np.testing.assert_allclose(validation[0][0], pixels, atol=1e-6)
    np.testing.assert_array_equal(validation[0][1], validation.labels[:16])
    np.testing.assert_array_equal(train.mean, mean)


def test_a_batch_is_made_of_its_parts():
    train, validation = batches_of(gradient_accumulation_steps=4)
    assert train.batch_size == validation.batch_size == 4
    assert train.accumulation_steps == 4
    assert len(train) == 8


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_batches_have_the_data_format(data_format):
    shape = (1, 8, 8) if data_format == "channels_first" else (8, 8, 1)
    for batches in batches_of(data_format=data_format):
        assert batches[0][0].shape == (16, *shape)


def test_auto_takes_the_fastest_data_format():
    fastest = _backend.fastest_settings()[0]
    assert batches_of(data_format="auto")[0].data_format == fastest


def test_data_dir_wins_and_has_the_image_size(tmp_path):
    for index in range(8):
        folder = tmp_path / f"class{index % 2}"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (9, 12)).save(folder / f"{index}.png")
    fields = {"train_samples": None, "test_samples": None, "batch_size": 2}
    loaded, _, _ = build_data(
        recipe_of(data_dir=str(tmp_path), image_size=10, **fields)
    )
    assert loaded.image_shape == (10, 10, 3)
    assert loaded.class_names == ("class0", "class1")


def test_mixup_is_as_the_recipe_says():
    mix_up = build_mix_up(
        Recipe(mixup_alpha=0.4, mixup_per="sample", seed=3), num_classes=7
    )
    assert (mix_up.alpha, mix_up.per, mix_up.seed) == (0.4, "sample", 3)
    assert (mix_up.num_classes, mix_up.off_from_epoch) == (7, None)
    assert build_mix_up(Recipe(mixup_alpha=0), 7) is None
    mix_up = batches_of(epochs=9, mixup_off_epochs=4)[0].mix_up
    assert (mix_up.off_from_epoch, mix_up.num_classes) == (5, 10)


@pytest.mark.parametrize(
    "field, value, argument",
    [
        ("depth", 34, "depth"),
        ("variant", "B", "variant"),
        ("width", 6, "width"),
        ("small_images", False, "small_images"),
        ("activation", "silu", "activation"),
        ("zero_gamma", False, "zero_gamma"),
        ("dropout", 0.3, "dropout"),
        ("drop_path", 0.2, "drop_path"),
        ("weights", "resnet18d.pth", "weights"),
        ("precision", "mixed_bfloat16", "dtype"),
        ("data_format", "channels_first", "data_format"),
    ],
)
def test_a_field_reaches_the_network(field, value, argument, monkeypatch):
    def network(depth, variant, **arguments):
        return {"depth": depth, "variant": variant, **arguments}

    monkeypatch.setattr(models, "ResNet", network)
    before = build_model(recipe_of(), (8, 8, 1), 10)
    after = build_model(recipe_of(**{field: value}), (8, 8, 1), 10)
    expected = {**before, argument: value}
    if field == "data_format":
        expected["input_shape"] = (1, 8, 8)
    assert after == expected
    assert (after["num_classes"], before["input_shape"]) == (10, (8, 8, 1))


@pytest.mark.parametrize("family", ["InceptionV3", "MobileNet"])
def test_the_other_families_have_a_width_multiplier(family, monkeypatch):
    monkeypatch.setattr(models, family, lambda **arguments: arguments)
    name = {"InceptionV3": "inception_v3", "MobileNet": "mobilenet"}[family]
    recipe = recipe_of(model=name, width=16, activation="silu")
    arguments = build_model(recipe, (8, 8, 1), 10)
    assert arguments["width_multiplier"] == 0.25
    assert (arguments["num_classes"], arguments["activation"]) == (10, "silu")
    # What only a ResNet has, and what the network decides itself.
    assert not {"zero_gamma", "drop_path", "dropout"} & set(arguments)


def numbers(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def test_the_network_and_its_seed():
    recipe = recipe_of(seed=1)
    model = build_model(recipe, (8, 8, 1), 10)
    assert (model.name, model.output_shape) == ("resnet18_d", (None, 10))
    same = build_model(recipe, (8, 8, 1), 10)
    for a, b in zip(numbers(model), numbers(same), strict=True):
        np.testing.assert_array_equal(a, b)
    other = build_model(recipe.replace(seed=2), (8, 8, 1), 10)
    pairs = zip(numbers(model), numbers(other), strict=True)
    kernels = [(a, b) for a, b in pairs if a.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in kernels)


def test_the_optimizer_is_as_the_recipe_says():
    recipe = Recipe(
        momentum=0.8,
        nesterov=False,
        momentum_form="keras",
        weight_decay=0.01,
        decay="kernel$",
        gradient_accumulation_steps=4,
    )
    optimizer = build_optimizer(recipe, 640)
    for field in ("momentum", "nesterov", "momentum_form", "weight_decay"):
        assert getattr(optimizer, field) == getattr(recipe, field)
    assert optimizer.decay == "kernel$"
    assert optimizer.gradient_accumulation_steps == 4
    assert build_optimizer(Recipe(), 640).gradient_accumulation_steps is None


OPTIMIZERS = {
    "adamw": (optimizers.AdamW, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.1}),
    "lamb": (optimizers.Lamb, {"beta_1": 0.8, "trust_ratio": "decayed"}),
    "muon": (optimizers.Muon, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.1}),
    "lion": (optimizers.Lion, {"beta_1": 0.8, "beta_2": 0.9}),
    "schedule_free_adamw": (optimizers.ScheduleFreeAdamW, {"epsilon": 0.1}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_other_optimizers_are_as_the_recipe_says(name):
    kind, fields = OPTIMIZERS[name]
    recipe = Recipe(
        optimizer=name,
        schedule="constant",
        base_learning_rate=0.002,
        weight_decay=0.3,
        decay="all",
        global_clipnorm=2.0,
        gradient_accumulation_steps=2,
        **fields,
    )
    optimizer = build_optimizer(recipe, 640)
    assert type(optimizer) is kind
    config = optimizer.get_config()
    adam = "adam_" if name == "muon" else ""
    for field, value in fields.items():
        assert config[f"{adam if 'beta' in field else ''}{field}"] == value
    assert (config["weight_decay"], config["decay"]) == (0.3, "all")
    assert config["global_clipnorm"] == 2.0
    assert config["gradient_accumulation_steps"] == 2
    # The square root of a quarter of 256 images.
    assert float(optimizer.learning_rate_at(100)) == pytest.approx(0.001)
    # What the recipe leaves open is the optimizer's own.
    plain = build_optimizer(Recipe(optimizer=name, **CONSTANT), 640)
    for field in fields:
        own = kind().get_config()[f"{adam if 'beta' in field else ''}{field}"]
        got = plain.get_config()[f"{adam if 'beta' in field else ''}{field}"]
        assert own == got


CONSTANT = {"schedule": "constant", "base_learning_rate": 0.002}


def test_the_radius_of_sharpness_reaches_the_step():
    model = dense()
    compile_model(Recipe(sam_rho=0.05), model, 640)
    assert model.train_step.rho == 0.05
    several = types.SimpleNamespace(num_replicas=2, compiles=True)
    with pytest.raises(ValueError, match="`sam_rho` must be 0 on several"):
        compile_model(Recipe(sam_rho=0.05), dense(), 640, several)


def test_clipping_reaches_the_optimizer():
    assert build_optimizer(Recipe(clipnorm=2), 640).clipnorm == 2
    optimizer = build_optimizer(Recipe(agc_clipping=0.02), 640)
    assert optimizer.adaptive_clipping.clipping == 0.02
    assert build_optimizer(Recipe(), 640).adaptive_clipping is None


def test_rates_by_depth_need_the_model():
    recipe = Recipe(weights="w", layer_decay=0.5)
    with pytest.raises(ValueError, match="`model` must be given.*decay=0.5"):
        build_optimizer(recipe, 640)
    model = dense(layers.Dense(5))
    optimizer = build_optimizer(recipe, 640, model=model)
    assert [*optimizer.rate_scales.values()] == [0.5, 0.5, 1.0, 1.0]
    assert build_optimizer(Recipe(), 640, model=model).rate_scales is None
    compile_model(Recipe(head_learning_rate=0.3), model, 640)
    scales = model.optimizer.rate_scales
    assert [*scales.values()] == pytest.approx([1, 1, 3, 3])


def test_the_optimizer_has_the_schedule_of_the_plan():
    recipe = Recipe(epochs=4, warmup_epochs=1)
    optimizer = build_optimizer(recipe, 640)
    schedule = make_schedule(recipe, make_plan(recipe, 640))
    for step in (0, 9, 10, 25, 39):
        rate = float(optimizer.learning_rate_at(step))
        assert rate == float(schedule(step)) > 0


def dense(*hidden):
    return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(3)])


@pytest.mark.parametrize("rule, decayed", [("kernels", 2), ("all", 4)])
def test_the_decay_rule_reaches_the_model(rule, decayed):
    model = dense(layers.Dense(5))
    compile_model(Recipe(decay=rule), model, 640)
    model.optimizer.build(model.trainable_variables)
    assert sum(model.optimizer._decays) == decayed


def test_the_loss_and_the_metrics_are_as_the_recipe_says():
    model = dense()
    recipe = Recipe(label_smoothing=0.3, smoothing_convention="uniform")
    compile_model(recipe, model, 640)
    assert model.loss.label_smoothing == 0.3
    assert model.loss.convention == "uniform"
    x = np.eye(4, dtype="float32")
    results = model.evaluate(x, np.arange(4) % 3, verbose=0, return_dict=True)
    assert set(results) == {"loss", "accuracy", "crossentropy"}


@pytest.mark.parametrize(
    "field, given",
    [("on", True), ("off", False), ("auto", _backend.fastest_settings()[1])],
)
def test_jit_compile_is_passed_on(field, given):
    class Recorder(keras.Sequential):
        def compile(self, **arguments):
            self.arguments = arguments

    model = Recorder([keras.Input((4,)), layers.Dense(3)])
    compile_model(Recipe(jit_compile=field), model, 640)
    assert model.arguments["jit_compile"] is given


@pytest.mark.parametrize(
    "precision", ["float32", "mixed_bfloat16", "mixed_float16"]
)
def test_float16_and_it_alone_scales_the_loss(precision):
    recipe = recipe_of(precision=precision)
    model = build_model(recipe, (8, 8, 1), 10)
    compile_model(recipe, model, 640)
    compute = precision.removeprefix("mixed_")
    assert model.get_layer("stage1_block1").compute_dtype == compute
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.outputs[0].dtype == "float32"
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


@pytest.mark.parametrize(
    "last",
    [
        layers.Dense(3, activation="softmax"),
        layers.Dense(3, activation="sigmoid"),
        layers.Activation("softmax"),
        layers.Softmax(),
        layers.ReLU(),
        keras.Sequential([layers.Dense(3), layers.Softmax()]),
    ],
)
def test_a_model_that_does_not_end_in_logits_is_refused(last):
    model = keras.Sequential([keras.Input((4,)), last])
    expected = "`model` must end in logits, .*Received: model=.* has (s|relu).*"
    with pytest.raises(ValueError, match=expected):
        compile_model(Recipe(), model, 640)


def test_the_average_is_as_the_recipe_says():
    assert build_average(Recipe()) is None
    average = build_average(Recipe(ema_decay=0.97))
    assert (average.ema_decay, average.warmup) == (0.97, True)
    assert (average.every, average.swap_on_epoch) == (1, True)
