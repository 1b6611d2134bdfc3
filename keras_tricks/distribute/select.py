"""Which engine trains: a function of what is asked for and what there is."""

import dataclasses

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
    num_processes: int,
    num_accelerators: int,
) -> Engine:
    """Return the engine that a specification asks for.

    `"auto"` is the engine of the backend for several processes if there are
    some, otherwise the one for several devices if there is more than one
    accelerator, otherwise `"none"`.

    Args:
        spec: `"auto"`, `"none"`, `"mirrored[:N]"`, `"multi_worker"`,
            `"tpu[:NAME]"`, `"jax[:N]"`, `"jax_multi"` or `"torch_ddp"`.
        backend: Name of the Keras backend.
        num_processes: Processes that train together, see `find_processes`.
        num_accelerators: Accelerators that this process sees.

    Raises:
        ValueError: If the specification is none of these or the backend
            does not have the engine.

    Example:
    >>> choose_engine("auto", "jax", 1, num_accelerators=8)
    Engine(name='jax', devices=None, tpu=None)
    >>> choose_engine("mirrored:2", "tensorflow", 1, num_accelerators=8)
    Engine(name='mirrored', devices=2, tpu=None)
    """
    engine = _parse(spec)
    if engine.name == "auto":
        if num_processes > 1:
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
