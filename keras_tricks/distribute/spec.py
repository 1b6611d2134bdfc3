"""Which engine trains: a function of what is asked for and what there is."""

import dataclasses
import json
from collections.abc import Mapping

BACKENDS = {
    "mirrored": "tensorflow",
    "multi_worker": "tensorflow",
    "tpu": "tensorflow",
    "jax": "jax",
    "jax_multi": "jax",
    "torch_ddp": "torch",
}
"""The backend of each engine."""

_SEVERAL_DEVICES = {"tensorflow": "mirrored", "jax": "jax"}
_SEVERAL_PROCESSES = {
    "tensorflow": "multi_worker",
    "jax": "jax_multi",
    "torch": "torch_ddp",
}
_FORMS = (
    '"auto", "none", "mirrored[:N]", "multi_worker", "tpu[:NAME]", '
    '"jax[:N]", "jax_multi" or "torch_ddp"'
)


@dataclasses.dataclass(frozen=True)
class Engine:
    """What a specification of `keras_tricks.distribute.distribute` means.

    Attributes:
        name: `"none"` or a key of `BACKENDS`.
        devices: Number of devices of this process, or None for all.
        tpu: Name of the TPU, or None.

    Example:
    >>> Engine("mirrored", devices=2).name
    'mirrored'
    """

    name: str
    devices: int | None = None
    tpu: str | None = None


def choose_engine(
    spec: str,
    backend: str,
    environment: Mapping[str, str],
    num_accelerators: int,
) -> Engine:
    """Returns the engine that a specification asks for.

    `"auto"` is the engine of the backend for several processes if the
    environment says that there are some (`TF_CONFIG`;
    `KERAS_DISTRIBUTION_*`; `WORLD_SIZE`, `RANK` and `MASTER_ADDR`; or
    Slurm's), otherwise the one for several devices if there is more than one
    accelerator, otherwise `"none"`.

    Args:
        spec: `"auto"`, `"none"`, `"mirrored[:N]"`, `"multi_worker"`,
            `"tpu[:NAME]"`, `"jax[:N]"`, `"jax_multi"` or `"torch_ddp"`.
        backend: Name of the Keras backend.
        environment: Environment variables.
        num_accelerators: Accelerators that this process sees.

    Raises:
        ValueError: If the specification is none of these or the backend
            does not have the engine, or a variable of the environment makes
            no sense.

    Example:
    >>> choose_engine("auto", "jax", {}, num_accelerators=8)
    Engine(name='jax', devices=None, tpu=None)
    >>> choose_engine("mirrored:2", "tensorflow", {}, num_accelerators=8)
    Engine(name='mirrored', devices=2, tpu=None)
    """
    engine = _parse(spec)
    if engine.name == "auto":
        if count_processes(backend, environment) > 1:
            return Engine(_SEVERAL_PROCESSES[backend])
        if num_accelerators > 1 and backend in _SEVERAL_DEVICES:
            return Engine(_SEVERAL_DEVICES[backend])
        return Engine("none")
    needed = BACKENDS.get(engine.name, backend)
    if needed != backend:
        raise ValueError(
            f'`spec` "{engine.name}" needs the {needed} backend. '
            f"Received: spec={spec!r} with the backend {backend!r}"
        )
    return engine


def count_processes(backend: str, environment: Mapping[str, str]) -> int:
    """How many processes the environment says that train together.

    Args:
        backend: Name of the Keras backend; each has variables of its own.
        environment: Environment variables.

    Raises:
        ValueError: If a variable makes no sense.

    Example:
    >>> ranks = {"WORLD_SIZE": "4", "RANK": "0", "MASTER_ADDR": "host"}
    >>> count_processes("torch", ranks), count_processes("jax", ranks)
    (4, 1)
    """
    count = _OWN_COUNT[backend](environment)
    slurm = "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NODELIST"
    if count is None and all(name in environment for name in slurm):
        count = _integer(environment, "SLURM_NTASKS")
    return 1 if count is None else count


def _parse(spec):
    name, colon, detail = str(spec).partition(":")
    if name in ("ps", "parameter_server"):
        raise ValueError(
            "`spec` must not be a parameter server: Keras 3 does not support "
            f"it, and its maintainers say so. Received: spec={spec!r}"
        )
    known = name in BACKENDS or name in ("auto", "none")
    counts = name in ("mirrored", "jax")
    if not known or (colon and not (detail and (counts or name == "tpu"))):
        raise ValueError(f"`spec` must be {_FORMS}. Received: spec={spec!r}")
    if not colon:
        return Engine(name)
    if name == "tpu":
        return Engine(name, tpu=detail)
    if not (detail.isascii() and detail.isdigit() and int(detail)):
        raise ValueError(
            f"`spec` must have a number of devices, at least 1, after "
            f'"{name}:". Received: spec={spec!r}'
        )
    return Engine(name, devices=int(detail))


def _count_tensorflow(environment):
    if not environment.get("TF_CONFIG"):
        return None
    text = environment["TF_CONFIG"]
    try:
        cluster = json.loads(text).get("cluster", {})
        return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
    except (AttributeError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            "`TF_CONFIG` in the environment must be JSON with a cluster. "
            f"Received: {text!r}"
        ) from error


def _count_jax(environment):
    if "KERAS_DISTRIBUTION_NUM_PROCESSES" in environment:
        return _integer(environment, "KERAS_DISTRIBUTION_NUM_PROCESSES")
    addresses = environment.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    # One address is that of the coordinator alone.
    return len(addresses.split(",")) if addresses else None


def _count_torch(environment):
    names = "WORLD_SIZE", "RANK", "MASTER_ADDR"
    if all(name in environment for name in names):
        return _integer(environment, "WORLD_SIZE")
    return None


def _integer(environment, name):
    try:
        return int(environment[name])
    except ValueError as error:
        raise ValueError(
            f"`{name}` in the environment must be an integer. "
            f"Received: {environment[name]!r}"
        ) from error


_OWN_COUNT = {
    "tensorflow": _count_tensorflow,
    "jax": _count_jax,
    "torch": _count_torch,
}
