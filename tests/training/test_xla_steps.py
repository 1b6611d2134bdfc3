"""The steps of recipes compile with XLA, as a TPU compiles them.

No TPU is at hand. What one needs can be seen on a CPU: the whole step is one
XLA program of static shapes in bfloat16, without a call back into Python.
"""

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, training
from keras_tricks.distribute.tensorflow.padded_batches import (
    Padded,
    count_real_rows,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a graph of TensorFlow"
)
RECIPES = {
    "the whole bag": {"gradient_accumulation_steps": 2, "drop_path": 0.2},
    "finished on the device": {
        "model": "mobilenet",
        "dropout": 0.2,
        "augmentation": "crop",
        "image_size": 16,
        "finish_on": "device",
    },
    "distillation": {"mixup_per": "sample"},
}


@pytest.fixture
def run(request, tmp_path):
    """A prepared run of the recipe."""
    settings = dict(RECIPES[request.param])
    if request.param == "distillation":
        teacher = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        teacher.save(tmp_path / "teacher.keras")
        settings["teacher"] = str(tmp_path / "teacher.keras")
    recipe = Recipe(
        epochs=1,
        warmup_epochs=0,
        width=2,
        train_samples=32,
        test_samples=16,
        batch_size=16,
        precision="mixed_bfloat16",
        data_format="channels_last",
        **settings,
    )
    return training.prepare(recipe, tmp_path / "run")


def compiled(step, batch):
    """The step as an XLA program for batches of this shape."""
    import tensorflow as tf

    function = tf.function(step, jit_compile=True, autograph=False)
    batch = tf.nest.map_structure(tf.constant, batch)
    return function.get_concrete_function(batch), batch


def operations(function):
    """Names of the operations in the graph and the functions it calls."""
    names = {operation.type for operation in function.graph.get_operations()}
    library = function.graph.as_graph_def().library.function
    return names | {node.op for each in library for node in each.node_def}


def calls_of_the_host(names):
    """Those that leave the device in the middle of a step."""
    return {n for n in names if "PyFunc" in n or "Host" in n or "Outside" in n}


@pytest.mark.filterwarnings("ignore:The teacher is no better than chance")
@pytest.mark.parametrize("run", list(RECIPES), indirect=True)
def test_both_steps_are_one_program(run):
    for step, batches in (
        (run.model.train_step, run.train_batches),
        (run.model.test_step, run.validation_batches),
    ):
        logs = run_one_program(step, batches[0])
        assert np.isfinite(float(logs["loss"]))


@pytest.mark.parametrize("run", ["the whole bag"], indirect=True)
def test_evaluation_of_padded_batches_is_one_program(run):
    model, whole = run.model, run.validation_batches[0]
    count_real_rows(model)
    model._symbolic_build(data_batch=whole)
    rows = len(whole[0])
    batch = Padded(whole, (np.arange(rows) < 5).astype("float32"))
    logs = run_one_program(model.test_step, batch)
    five = keras.tree.map_structure(lambda x: x[:5], whole)
    model.reset_metrics()
    expected = model.test_step(five)
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-2, err_msg=name)
    outputs = run_one_program(model.predict_step, batch)
    assert outputs.batch.shape == (rows, 10)


def run_one_program(step, batch):
    """Runs a step of this batch, if it is one program of static shapes."""
    function, batch = compiled(step, batch)
    for spec in function.structured_input_signature[0]:
        for each in keras.tree.flatten(spec):
            assert each.shape.is_fully_defined()
    assert not calls_of_the_host(operations(function))
    return function(batch)


def test_what_a_tpu_could_not_run_is_found():
    import tensorflow as tf

    def step(x):
        return tf.numpy_function(np.sin, [x], tf.float32)

    function, batch = compiled(step, np.zeros(2, "float32"))
    assert calls_of_the_host(operations(function)) == {"PyFunc"}
    with pytest.raises(tf.errors.InvalidArgumentError, match="XLA"):
        function(batch)
