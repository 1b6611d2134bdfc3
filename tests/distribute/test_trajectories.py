"""Several devices take the steps of one: losses, weights, predictions."""

import numpy as np
import pytest

from .training import (
    BACKEND,
    STEPS,
    difference,
    run_processes,
    run_with_devices,
    train_all,
)

SPECS = {"tensorflow": ["mirrored:2", "mirrored:4"], "jax": ["jax:2"]}
SCALES = {"kernel": 0.5, "bias": 2.0}
PAIRS = [
    {"dtype": "float32", "accumulation": 1, "predicts": True},
    {"dtype": "mixed_float16", "accumulation": 4, "scales": SCALES},
    {"freezes": "conv2d", "optimizer": "Lamb"},
    {"freezes": "backbone", "optimizer": "AdamW"},
    {"optimizer": "Lion"},
    {"optimizer": "Muon", "accumulation": 4},
    {"optimizer": "ScheduleFreeAdamW"},
]
PAIRS = [{"dtype": "float32", "accumulation": 1, **pair} for pair in PAIRS]
CONFIGURATIONS = {
    "mirrored:2": PAIRS,
    "mirrored:4": [{"dtype": "float32", "accumulation": 4, "predicts": True}],
    "jax:2": PAIRS,
}


PROCESSES = {
    "tensorflow": "multi_worker",
    "jax": "jax_multi",
    "torch": "torch_ddp",
}
OF_PROCESSES = {
    1: PAIRS,
    2: [{"dtype": "float32", "accumulation": 4, "predicts": True}],
}


@pytest.mark.parametrize("spec", SPECS.get(BACKEND, []))
def test_the_steps_are_those_of_one_device(spec):
    configurations = CONFIGURATIONS[spec]
    code = f"print(json.dumps(train_all(['none', {spec!r}], {configurations})))"
    results = run_with_devices(code, int(spec[-1]))
    for configuration, result in zip(configurations, results, strict=True):
        check_same(configuration, result["none"], result[spec])


@pytest.mark.parametrize("devices", [1, 2] if BACKEND != "torch" else [1])
def test_several_processes_take_the_steps_of_one_device(devices):
    spec = PROCESSES[BACKEND]
    configurations = OF_PROCESSES[devices]
    code = "print(json.dumps(train_all([{!r}], {})))"
    ours = run_processes(code.format(spec, configurations), devices)
    alone = train_all(["none"], configurations)
    first, second = ours
    for i, configuration in enumerate(configurations):
        check_same(configuration, alone[i]["none"], first[i][spec])
        for name, values in first[i][spec].items():
            assert second[i][spec][name] == values, name


def check_same(configuration, alone, together):
    tolerance = 1e-6 if configuration["dtype"] == "float32" else 1e-3
    assert together["updates"] == alone["updates"]
    assert alone["updates"] == STEPS // configuration["accumulation"]
    for name, values in alone.items():
        different = difference(together[name], values)
        assert different <= tolerance, (name, configuration, different)
    assert np.ptp(alone["losses"]) > 0.01  # It learns.
