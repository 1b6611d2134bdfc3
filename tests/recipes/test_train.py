import dataclasses
import json
import pathlib
import re

import keras
import pytest
from absl import flags

from keras_tricks import Recipe, training
from keras_tricks.recipe.recipe import PRESETS, TEACHER_PRESETS

FIELDS = [field.name for field in dataclasses.fields(Recipe)]
FLAGFILES = pathlib.Path(__file__).parents[2] / "recipes" / "flags"
# What decides data and size of the network, and no trick.
SIZE = "dataset data_dir image_size augmentation depth width small_images"

# For each field a flag and what it gives.
GIVEN = {
    "dataset": ("--dataset=mnist", "mnist"),
    "data_dir": ("--data_dir=images", "images"),
    "image_key": ("--image_key=img", "img"),
    "label_key": ("--label_key=fine_label", "fine_label"),
    "label_offset": ("--label_offset=1", 1),
    "multi_label": ("--multi_label", True),
    "image_size": ("--image_size=32", 32),
    "channels": ("--channels=1", 1),
    "train_samples": ("--train_samples=100", 100),
    "test_samples": ("--test_samples=50", 50),
    "validation_share": ("--validation_share=0.25", 0.25),
    "split_seed": ("--split_seed=3", 3),
    "augmentation": ("--augmentation=none", "none"),
    "min_crop_area": ("--min_crop_area=0.3", 0.3),
    "color_jitter": ("--color_jitter=0", 0.0),
    "jitter_convention": ("--jitter_convention=gluon", "gluon"),
    "lighting": ("--lighting=0.2", 0.2),
    "policy": ("--policy=trivial_augment", "trivial_augment"),
    "magnitude": ("--magnitude=6", 6.0),
    "severity": ("--severity=5", 5.0),
    "erasing": ("--erasing=0.25", 0.25),
    "repeated_augmentation": ("--repeated_augmentation=3", 3),
    "sampler": ("--sampler=balanced", "balanced"),
    "ignore_label": ("--ignore_label=-1", -1),
    "test_image_size": ("--test_image_size=256x320", (256, 320)),
    "crop_ratio": ("--crop_ratio=1", 1.0),
    "resize": ("--resize=letterbox", "letterbox"),
    "progressive_sizes": ("--progressive_sizes=16,32", (16, 32)),
    "input_engine": ("--input_engine=memory", "memory"),
    "workers": ("--workers=2", 2),
    "finish_on": ("--finish_on=host", "host"),
    "max_bad_records": ("--max_bad_records=5", 5),
    "model": ("--model=mobilenet", "mobilenet"),
    "depth": ("--depth=50", 50),
    "variant": ("--variant=B", "B"),
    "width": ("--width=32", 32),
    "small_images": ("--nosmall_images", False),
    "activation": ("--activation=silu", "silu"),
    "zero_gamma": ("--zero_gamma=false", False),
    "dropout": ("--dropout=0.2", 0.2),
    "drop_path": ("--drop_path=0.1", 0.1),
    "frozen_norm": ("--frozen_norm", True),
    "weights": ("--weights=w.npz", "w.npz"),
    "skip_head": ("--skip_head", True),
    "data_format": ("--data_format=channels_first", "channels_first"),
    "freeze": ("--freeze=norms", "norms"),
    "unfreeze_epoch": ("--unfreeze_epoch=3", 3),
    "cache_features": ("--cache_features=off", "off"),
    "layer_decay": ("--layer_decay=0.75", 0.75),
    "head_learning_rate": ("--head_learning_rate=0.3", 0.3),
    "optimizer": ("--optimizer=lamb", "lamb"),
    "epochs": ("--epochs=7", 7),
    "batch_size": ("--batch_size=128", 128),
    "base_learning_rate": ("--base_learning_rate=0.05", 0.05),
    "learning_rate_scaling": ("--learning_rate_scaling=none", "none"),
    "warmup_epochs": ("--warmup_epochs=0.5", 0.5),
    "schedule": ("--schedule=step", "step"),
    "step_epochs": ("--step_epochs=4,8", (4, 8)),
    "momentum": ("--momentum=0.5", 0.5),
    "nesterov": ("--nonesterov", False),
    "momentum_form": ("--momentum_form=keras", "keras"),
    "beta_1": ("--beta_1=0.8", 0.8),
    "beta_2": ("--beta_2=0.95", 0.95),
    "epsilon": ("--epsilon=0.001", 0.001),
    "trust_ratio": ("--trust_ratio=decayed", "decayed"),
    "clipnorm": ("--clipnorm=2", 2.0),
    "global_clipnorm": ("--global_clipnorm=1", 1.0),
    "agc_clipping": ("--agc_clipping=0.01", 0.01),
    "sam_rho": ("--sam_rho=0.05", 0.05),
    "weight_decay": ("--weight_decay=0.01", 0.01),
    "decay": ("--decay=kernel$", "kernel$"),
    "gradient_accumulation_steps": ("--gradient_accumulation_steps=2", 2),
    "sync_batch_norm": ("--nosync_batch_norm", False),
    "ema_decay": ("--ema_decay=0.99", 0.99),
    "precision": ("--precision=mixed_bfloat16", "mixed_bfloat16"),
    "loss": ("--loss=binary_crossentropy", "binary_crossentropy"),
    "target_threshold": ("--target_threshold=0.2", 0.2),
    "class_reduction": ("--class_reduction=sum", "sum"),
    "label_smoothing": ("--label_smoothing=0.2", 0.2),
    "smoothing_convention": ("--smoothing_convention=uniform", "uniform"),
    "class_weights": ("--class_weights=1,0.5,2", (1.0, 0.5, 2.0)),
    "effective_number_beta": ("--effective_number_beta=0.9", 0.9),
    "logit_adjustment": ("--logit_adjustment=1", 1.0),
    "mixup_alpha": ("--mixup_alpha=0.4", 0.4),
    "cutmix_alpha": ("--cutmix_alpha=1", 1.0),
    "mixup_per": ("--mixup_per=sample", "sample"),
    "mixup_off_epochs": ("--mixup_off_epochs=3", 3),
    "teacher": ("--teacher=t.keras", "t.keras"),
    "teacher_weights": ("--teacher_weights=w.h5", "w.h5"),
    "temperature": ("--temperature=4", 4.0),
    "distillation": ("--distillation=sigmoid", "sigmoid"),
    "hard_weight": ("--hard_weight=0.5", 0.5),
    "seed": ("--seed=5", 5),
    "jit_compile": ("--jit_compile=off", "off"),
}

OF_CROPS = """
    min_crop_area color_jitter jitter_convention lighting policy erasing
    repeated_augmentation test_image_size crop_ratio resize workers
    image_key label_key label_offset
""".split()

SLOW = {"base_learning_rate": 0.001}
FIRST_ROW = {
    "depth": 50,
    "width": 64,
    "small_images": False,
    "image_size": 224,
    "augmentation": "crop",
    "variant": "A",
    "epochs": 120,
    "batch_size": 256,
    "learning_rate_scaling": "none",
    "warmup_epochs": 0,
    "schedule": "step",
    "step_epochs": (30, 60, 90),
    "zero_gamma": False,
    "decay": "all",
    "label_smoothing": 0,
    "mixup_alpha": 0,
}
# What each flagfile changes in the one before.
ROWS = {
    "efficiency_0_baseline": {},
    "efficiency_1_linear_scaling": {
        "batch_size": 1024,
        "learning_rate_scaling": "linear",
    },
    "efficiency_2_warmup": {"warmup_epochs": 5},
    "efficiency_3_zero_gamma": {"zero_gamma": True},
    "efficiency_4_no_bias_decay": {"decay": "kernels"},
    "efficiency_5_float16": {"precision": "mixed_float16"},
    "model_a": {},
    "model_b": {"variant": "B"},
    "model_c": {"variant": "C"},
    "model_d": {"variant": "D"},
    "refinement_0_efficient": {},
    "refinement_1_cosine": {"schedule": "cosine", "step_epochs": None},
    "refinement_2_label_smoothing": {"label_smoothing": 0.1},
    "refinement_3_mixup": {"mixup_alpha": 0.2, "epochs": 200},
    "refinement_4_distillation": {
        "mixup_alpha": 0.0,
        "epochs": 120,
        "teacher": "runs/resnet152_d/last.keras",
    },
    "refinement_5_mixup_distillation": {
        "mixup_alpha": 0.2,
        "epochs": 200,
        "teacher": "runs/resnet152_d_mixup/last.keras",
    },
    "teacher_resnet152_d": {
        "mixup_alpha": 0.0,
        "epochs": 120,
        "teacher": None,
        "depth": 152,
    },
    "teacher_resnet152_d_mixup": {"mixup_alpha": 0.2, "epochs": 200},
}


@pytest.fixture
def parse(load_script):
    """A function that reads flags as train.py does."""
    recipe_flags = load_script("recipe_flags")

    def read(*arguments):
        values = flags.FlagValues()
        recipe_flags.define(values)
        values(["train.py", *arguments])
        return recipe_flags.recipe_from_flags(values)

    return read


def flagfile(name):
    return f"--flagfile={FLAGFILES / name}.flags"


def test_every_field_is_a_flag_with_its_default(load_script, parse):
    values = flags.FlagValues()
    load_script("recipe_flags").define(values)
    assert set(values) == {*FIELDS, "preset", "recipe"}
    for field in dataclasses.fields(Recipe):
        flag = values[field.name]
        assert str(flag.default) == str(field.default)
        assert flag.help.endswith(field.metadata["help"])
    assert parse() == Recipe()


def test_the_table_has_every_field():
    assert list(GIVEN) == FIELDS


@pytest.mark.parametrize("name", FIELDS)
def test_a_flag_sets_its_field_and_no_other(name, parse):
    flag, value = GIVEN[name]
    others = {
        "step_epochs": {"schedule": "step"},
        "teacher_weights": {"teacher": "ResNet50D"},
        "hard_weight": {"teacher": "t.keras"},
        "multi_label": {"loss": "binary_crossentropy"},
        "distillation": {
            "loss": "binary_crossentropy",
            "teacher": "t.keras",
        },
        "frozen_norm": {"weights": "w.npz", "zero_gamma": False},
        "skip_head": {"weights": "w.npz"},
        "freeze": {"weights": "w.npz"},
        "layer_decay": {"weights": "w.npz"},
        "unfreeze_epoch": {"weights": "w.npz", "freeze": "norms"},
        "split_seed": {"validation_share": 0.2},
        "target_threshold": {"loss": "binary_crossentropy"},
        "class_reduction": {"loss": "binary_crossentropy"},
        "effective_number_beta": {"class_weights": "effective_number"},
        "ignore_label": {"data_dir": "a.npz"},
        "magnitude": {"augmentation": "crop", "policy": "rand_augment"},
        "severity": {"augmentation": "crop", "policy": "aug_mix"},
        "progressive_sizes": {"augmentation": "crop", "image_size": 32},
        "optimizer": SLOW,
        **dict.fromkeys(
            ("beta_1", "beta_2", "epsilon", "trust_ratio"),
            {"optimizer": "lamb", **SLOW},
        ),
        **dict.fromkeys(OF_CROPS, {"augmentation": "crop"}),
    }.get(name, {})
    assert value != getattr(Recipe(), name)
    recipe = parse(flag, *(f"--{key}={text}" for key, text in others.items()))
    assert recipe == Recipe(**{name: value, **others})
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("name", ["image_size", "data_dir", "step_epochs"])
def test_none_is_said_in_words(name, parse):
    assert parse(f"--{name}=none") == Recipe()


def test_the_shape_of_images_may_stand_in_a_flagfile(parse, tmp_path):
    path = tmp_path / "wide.flags"
    path.write_text("--image_size=224x320\n--test_image_size=256\n")
    recipe = parse(f"--flagfile={path}", "--augmentation=crop")
    assert recipe.image_size == (224, 320) and recipe.test_image_size == 256
    assert parse("--image_size=224X224").image_size == 224
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_flags_win_over_a_preset(parse):
    for preset in PRESETS:
        given = {"teacher": "t.keras"} if preset in TEACHER_PRESETS else {}
        flags_ = [f"--{name}={value}" for name, value in given.items()]
        recipe = parse(f"--preset={preset}", *flags_)
        assert recipe == Recipe.preset(preset, **given)
    recipe = parse("--epochs=30", "--preset=+cosine", "--mixup_alpha=0.2")
    assert recipe == Recipe.preset("+cosine", epochs=30, mixup_alpha=0.2)


def test_the_flagfiles_are_the_rows_of_the_paper(parse):
    assert {path.stem for path in FLAGFILES.iterdir()} >= set(ROWS)
    expected = FIRST_ROW
    for name, changes in ROWS.items():
        expected = {**expected, **changes}
        assert parse(flagfile(name)) == Recipe(**expected)


@pytest.mark.parametrize(
    "name, preset",
    [
        ("efficiency_0_baseline", "baseline"),
        ("refinement_1_cosine", "+cosine"),
        ("refinement_2_label_smoothing", "+label_smoothing"),
        ("refinement_3_mixup", "+mixup"),
    ],
)
def test_a_flagfile_has_the_tricks_of_its_preset(name, preset, parse):
    recipe = parse(flagfile(name))
    size = {field: getattr(recipe, field) for field in SIZE.split()}
    if recipe.schedule == "step":
        size["step_epochs"] = (30, 60, 90)
    assert recipe == Recipe.preset(preset, **size)


@pytest.mark.parametrize("name", ["model_d", "model_d.flags"])
def test_a_flagfile_is_found_by_its_name(
    name, load_script, tmp_path, monkeypatch
):
    recipe_flags = load_script("recipe_flags")
    monkeypatch.setattr(
        recipe_flags.app, "parse_flags_with_usage", lambda argv: argv
    )
    monkeypatch.chdir(tmp_path)
    own = str(FLAGFILES / "model_d.flags")
    given = ["train.py", "--flagfile", name, f"-flagfile={name}", "--", name]
    found = ["train.py", "--flagfile", own, f"--flagfile={own}", "--", name]
    assert recipe_flags.parse(given) == found
    (tmp_path / name).write_text("--epochs=3")
    assert recipe_flags.find_flagfile(name) == name


@pytest.mark.parametrize("name", ["model_e", "no/model_d", "model_d.txt"])
def test_an_unknown_flagfile_is_one_line_with_those_there_are(
    name, load_script
):
    with pytest.raises(SystemExit) as ended:
        load_script("recipe_flags").find_flagfile(name)
    (line,) = str(ended.value.code).splitlines()
    assert all(f" {row}" in line for row in ROWS)
    assert line.endswith(f"Received: --flagfile={name}")


def test_two_starts_in_one_second_have_two_folders(
    load_script, tmp_path, monkeypatch
):
    module = load_script("new_run_folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module.time, "strftime", lambda _: "runs/2026")
    names = [module.new_run_folder() for _ in range(3)]
    assert names == ["runs/2026", "runs/2026-2", "runs/2026-3"]
    assert all((tmp_path / name).is_dir() for name in names)


def test_training_writes_a_report_and_says_where(run_script, tmp_path):
    done = run_script(
        "train.py",
        "--epochs=1",
        "--warmup_epochs=0",
        "--width=2",
        "--train_samples=128",
        "--test_samples=64",
        "--verbose=2",
        f"--run_folder={tmp_path}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    explain = (tmp_path / "explain.txt").read_text("utf-8")
    assert done.stdout.startswith(explain)
    result = json.loads((tmp_path / "result.json").read_text())
    assert done.stdout.endswith(
        f"Validation accuracy {result['val_accuracy']:.2%} after 1 epochs, "
        f"best {result['val_accuracy']:.2%}\nReport: {tmp_path}/report.html\n"
    )
    assert "</html>" in (tmp_path / "report.html").read_text("utf-8")
    recipe = Recipe.load(tmp_path / "recipe.json")
    assert (recipe.width, recipe.epochs) == (2, 1)
    model = keras.saving.load_model(tmp_path / "last.keras")
    _, _, batches = training.build_data(recipe)
    values = model.evaluate(batches, verbose=0, return_dict=True)
    assert values["accuracy"] == pytest.approx(result["val_accuracy"])


def test_the_range_test_says_where_to_begin(run_script, tmp_path):
    done = run_script(
        "train.py",
        "--find_learning_rate",
        "--verbose=0",
        "--warmup_epochs=0",
        "--width=2",
        "--train_samples=128",
        f"--run_folder={tmp_path}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    last = done.stdout.splitlines()[-3:]
    assert last[0].startswith("The smoothed loss is lowest at")
    assert re.fullmatch(r"--base_learning_rate=[0-9.e-]+", last[1])
    assert last[2] == f"Report: {tmp_path}/learning_rate.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "learning_rate.csv",
        "learning_rate.html",
    ]


MISTAKES = {
    "--label_smoothng=0": "Unknown command line flag 'label_smoothng'",
    "--data_dir=/nowhere": "`data_dir` must be .* Received: /nowhere",
    "epochs=3": "Arguments must be flags. Received: epochs=3",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_a_mistake_ends_the_script_with_one_line(
    argument, run_script, tmp_path
):
    done = run_script("train.py", f"--run_folder={tmp_path / 'run'}", argument)
    assert done.returncode != 0
    assert not done.stdout
    first, *rest = done.errors
    assert re.search(MISTAKES[argument], first)
    # What absl adds behind a flag that it does not know.
    assert rest in (
        [],
        ["Pass --helpshort or --helpfull to see help on flags."],
    )
    assert not (tmp_path / "run").exists()


def test_an_unknown_backend_ends_the_script_with_one_line(run_script):
    done = run_script("train.py", KERAS_BACKEND="mxnet")
    assert done.returncode != 0
    assert done.stderr == (
        "KERAS_BACKEND must be one of tensorflow, torch, jax. Received: mxnet\n"
    )


def test_the_data_that_are_named_decide_what_no_flag_says(load_script):
    recipe_flags = load_script("recipe_flags")

    def fitted(*arguments):
        values = flags.FlagValues()
        recipe_flags.define(values)
        values(["train.py", *arguments])
        return recipe_flags.fitted_recipe(values)

    for arguments in ([], ["--dataset=digits"]):
        assert fitted(*arguments) == (Recipe(), [])
    recipe, chosen = fitted("--dataset=cifar10", "--epochs=1")
    assert recipe.warmup_epochs == 0.1 and recipe.augmentation == "shift_flip"
    assert {choice.field for choice in chosen} >= {"warmup_epochs"}
    recipe, chosen = fitted("--dataset=cifar10", "--preset=baseline")
    assert recipe == Recipe.preset("baseline", dataset="cifar10")
    assert not chosen


def test_a_batch_that_is_found_is_kept(run_script, tmp_path):
    arguments = (
        "--batch_size=auto",
        "--train_samples=192",
        "--test_samples=16",
        "--gradient_accumulation_steps=3",
        "--width=2",
        "--epochs=2",
        "--warmup_epochs=0",
        "--verbose=0",
        f"--run_folder={tmp_path / 'run'}",
    )
    done = run_script("train.py", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    # A sixteenth of the images, three batches of a power of two.
    assert "chosen    batch_size=12: 64 without an accelerator" in done.stdout
    assert "(0.1 x 12 / 256)" in done.stdout
    assert Recipe.load(tmp_path / "run" / "recipe.json").batch_size == 12
    for name in ("result.json", "history.csv"):
        (tmp_path / "run" / name).unlink()
    done = run_script("train.py", *arguments)
    assert f"batch_size=12: that of {tmp_path}" in done.stdout, done.stderr
    done = run_script("ablate.py", "--batch_size=auto")
    (error,) = done.errors
    assert error.endswith("of at least 1. Received: batch_size='auto'")
