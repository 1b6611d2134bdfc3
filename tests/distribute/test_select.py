"""Which engine a specification means, for every backend and environment."""

import json

import pytest

from keras_tricks.distribute.processes import Processes, find_processes
from keras_tricks.distribute.select import BACKENDS, Engine, choose_engine

ALL = ("tensorflow", "jax", "torch")
TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "host"}
SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_JOB_NODELIST": "n[1-2]",
}


def tf_config(**cluster):
    return {"TF_CONFIG": json.dumps({"cluster": cluster})}


def jax_config(**names):
    return {f"KERAS_DISTRIBUTION_{k}": v for k, v in names.items()}


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("accelerators", [0, 1, 2, 8])
def test_auto_on_one_host(backend, accelerators):
    several = {"tensorflow": "mirrored", "jax": "jax"}
    name = several.get(backend, "none") if accelerators > 1 else "none"
    assert choose_engine("auto", backend, 1, accelerators) == Engine(name)


@pytest.mark.parametrize(
    ("backend", "environment", "count"),
    [
        ("tensorflow", tf_config(worker=["a:1", "b:1"]), 2),
        ("tensorflow", tf_config(chief=["a:1"], worker=["b:1"]), 2),
        ("tensorflow", tf_config(worker=["a:1"]), 1),
        ("tensorflow", {"TF_CONFIG": ""}, 1),
        ("tensorflow", {"TF_CONFIG": "{}"}, 1),
        ("tensorflow", {**SLURM, **tf_config(worker=["a:1"])}, 1),
        ("jax", jax_config(NUM_PROCESSES="3"), 3),
        ("jax", jax_config(JOB_ADDRESSES="a:1,b:1"), 2),
        ("jax", jax_config(JOB_ADDRESSES="a:1"), 1),
        ("torch", TORCHRUN, 2),
        ("torch", {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}, 1),
        ("torch", {"WORLD_SIZE": "2"}, 1),
        *[(backend, SLURM, 4) for backend in ALL],
        *[(backend, {"SLURM_NTASKS": "4"}, 1) for backend in ALL],
        *[(backend, {}, 1) for backend in ALL],
        ("jax", TORCHRUN, 1),
        ("torch", tf_config(worker=["a:1", "b:1"]), 1),
    ],
)
def test_auto_with_several_processes(backend, environment, count):
    found = find_processes(backend, environment).count
    assert found == count
    several = {
        "tensorflow": "multi_worker",
        "jax": "jax_multi",
        "torch": "torch_ddp",
    }
    name = several[backend] if count > 1 else "none"
    assert choose_engine("auto", backend, found, 1).name == name
    assert choose_engine("none", backend, found, 8).name == "none"


@pytest.mark.parametrize(
    ("backend", "environment"),
    [
        ("tensorflow", {"TF_CONFIG": "cluster"}),
        ("tensorflow", {"TF_CONFIG": "[]"}),
        ("tensorflow", {"TF_CONFIG": '{"cluster": 3}'}),
        ("jax", jax_config(NUM_PROCESSES="two")),
        ("torch", {**TORCHRUN, "WORLD_SIZE": "x"}),
        ("torch", {**SLURM, "SLURM_NTASKS": "2(x2)"}),
        ("torch", {**SLURM, "SLURM_TASKS_PER_NODE": "2x2"}),
        # These would fill the memory.
        ("torch", {**SLURM, "SLURM_TASKS_PER_NODE": "2(x9999999999)"}),
        ("torch", {**SLURM, "SLURM_JOB_NODELIST": "n[0-9999999999]"}),
        ("torch", {**SLURM, "SLURM_JOB_NODELIST": "n[5-1]"}),
        ("torch", {**SLURM, "SLURM_JOB_NODELIST": "n[-]"}),
        ("torch", {**SLURM, "SLURM_JOB_NODELIST": ""}),
        ("torch", {**SLURM, "SLURM_NTASKS": "9999999999"}),
        ("torch", {**SLURM, "SLURM_NTASKS": "0"}),
        ("jax", jax_config(NUM_PROCESSES="9999999999")),
        (
            "tensorflow",
            {
                "TF_CONFIG": '{"cluster": {"worker": ["a"]}, '
                '"task": {"type": "evaluator", "index": 0}}'
            },
        ),
    ],
)
def test_an_environment_that_makes_no_sense(backend, environment):
    with pytest.raises(ValueError, match="in the environment must be"):
        find_processes(backend, environment)


@pytest.mark.parametrize("name", sorted(BACKENDS))
@pytest.mark.parametrize("backend", ALL)
def test_an_engine_needs_its_backend(name, backend):
    if backend == BACKENDS[name]:
        assert choose_engine(name, backend, 1, 0) == Engine(name)
        return
    with pytest.raises(ValueError, match=f"needs the {BACKENDS[name]} backe"):
        choose_engine(name, backend, 1, 0)


def test_details():
    engine = choose_engine("mirrored:2", "tensorflow", 1, 0)
    assert engine == Engine("mirrored", devices=2)
    assert choose_engine("jax:8", "jax", 1, 0) == Engine("jax", devices=8)
    engine = choose_engine("tpu:my:pod", "tensorflow", 1, 0)
    assert engine == Engine("tpu", tpu="my:pod")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "gpu",
        "Mirrored",
        "mirrored:",
        "mirrored:0",
        "mirrored:-1",
        "mirrored:two",
        "mirrored:²",
        "mirrored:2:3",
        "tpu:",
        "none:2",
        "auto:2",
        "multi_worker:2",
        None,
        2,
    ],
)
def test_what_is_no_specification(spec):
    with pytest.raises(ValueError, match=r"^`spec` must .* Received: spec="):
        choose_engine(spec, "tensorflow", 1, 0)


@pytest.mark.parametrize("spec", ["ps", "parameter_server", "ps:2"])
def test_parameter_servers_are_refused_with_the_reason(spec):
    with pytest.raises(ValueError, match="Keras 3 does not support it"):
        choose_engine(spec, "tensorflow", 1, 0)


def test_processes_of_each_environment():
    config = {
        "cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"]},
        "task": {"type": "worker", "index": 1},
    }
    found = find_processes("tensorflow", {"TF_CONFIG": json.dumps(config)})
    assert found == Processes(2, 3, "a:1", ("a:1", "b:2", "c:3"))
    found = find_processes(
        "jax",
        jax_config(JOB_ADDRESSES="a:1", NUM_PROCESSES="4", PROCESS_ID="3"),
    )
    assert found == Processes(3, 4, "a:1", ())
    found = find_processes("torch", {**TORCHRUN, "MASTER_PORT": "7"})
    assert found == Processes(1, 2, "host:7", ())
    assert find_processes("torch", {}) == Processes()


@pytest.mark.parametrize(
    ("nodes", "tasks", "hosts"),
    [
        ("n[1-2]", "2(x2)", ["n1:0", "n1:1", "n2:0", "n2:1"]),
        ("n[1-3]", "1(x2),2", ["n1:0", "n2:0", "n3:0", "n3:1"]),
        ("n[1-2]", "3,1", ["n1:0", "n1:1", "n1:2", "n2:0"]),
        ("a[09-10,12]-x,b", "1(x4)", ["a09-x:0", "a10-x:0", "a12-x:0", "b:0"]),
        ("n[1-2]", None, ["n1:0", "n1:1", "n2:0", "n2:1"]),
        ("one", "4", ["one:0", "one:1", "one:2", "one:3"]),
    ],
)
def test_the_addresses_of_slurm(nodes, tasks, hosts):
    environment = {**SLURM, "SLURM_JOB_NODELIST": nodes, "SLURM_JOB_ID": "7"}
    if tasks is not None:
        environment["SLURM_TASKS_PER_NODE"] = tasks
    found = find_processes("jax", environment)
    expected = []
    for host in hosts:
        name, _, task = host.partition(":")
        expected.append(f"{name}:{20007 + int(task)}")
    assert found == Processes(3, 4, expected[0], tuple(expected))


def test_a_process_beyond_the_last():
    with pytest.raises(ValueError, match="Received: process 2 of 2"):
        find_processes("torch", {**TORCHRUN, "RANK": "2"})


@pytest.mark.parametrize(
    ("addresses", "local"),
    [
        (["127.0.0.1:1", "127.0.0.2:2"], True),
        (["localhost:1"], True),
        (["[::1]:1"], True),
        (["127.0.0.1:1", "host:2"], False),
        (["10.0.0.1:1"], False),
        ([], False),
    ],
)
def test_processes_of_one_machine(addresses, local):
    coordinator = addresses[0] if addresses else None
    processes = Processes(0, 2, coordinator, tuple(addresses))
    assert processes.local is local
