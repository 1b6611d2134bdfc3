"""Which processes train together: what the environment says."""

import contextlib
import dataclasses
import ipaddress
import re
from collections.abc import Mapping

from keras_tricks._untrusted import parse_json

_MASTER_PORT = "29500"
# More than any machine has; each takes memory here.
_MOST_PROCESSES = 2**17


@dataclasses.dataclass(frozen=True)
class Processes:
    """This process and those that train with it.

    Attributes:
        index: Number of this process, from 0.
        count: How many there are.
        coordinator: `"host:port"` where they meet, that of process 0; None
            if the environment names none.
        addresses: `"host:port"` of each process, where it is known.

    Example:
    >>> Processes().count
    1
    """

    index: int = 0
    count: int = 1
    coordinator: str | None = None
    addresses: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether they meet at loopback addresses, as on one machine."""
        return bool(self.coordinator) and all(
            _is_loopback(address)
            for address in (self.coordinator, *self.addresses)
        )


def find_processes(backend: str, environment: Mapping[str, str]) -> Processes:
    """Return the processes that an environment names.

    - TensorFlow: `TF_CONFIG`, with the jobs chief and worker.
    - JAX: `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `..._NUM_PROCESSES` and
      `..._PROCESS_ID`.
    - PyTorch: `MASTER_ADDR`, `MASTER_PORT`, `WORLD_SIZE` and `RANK`, as
      torchrun sets them.
    - All, if these are missing: Slurm's `SLURM_NTASKS`, `SLURM_PROCID`,
      `SLURM_JOB_NODELIST` and `SLURM_TASKS_PER_NODE`, those of `srun`.

    Args:
        backend: Name of the Keras backend.
        environment: Environment variables.

    Raises:
        ValueError: If a variable makes no sense.

    Example:
    >>> ranks = {"WORLD_SIZE": "4", "RANK": "1", "MASTER_ADDR": "host"}
    >>> found = find_processes("torch", ranks)
    >>> found.index, found.count, found.coordinator
    (1, 4, 'host:29500')
    >>> find_processes("jax", ranks).count
    1
    """
    found = _OWN[backend](environment)
    names = "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NODELIST"
    if found is None and all(name in environment for name in names):
        found = _slurm(environment)
    if found is None:
        return Processes()
    _check_count("The count of processes", found.count)
    if not 0 <= found.index < found.count:
        raise ValueError(
            "The number of a process in the environment must be below their "
            f"count. Received: process {found.index} of {found.count}"
        )
    return found


def _is_loopback(address):
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):  # A name.
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _tensorflow(environment):
    if not environment.get("TF_CONFIG"):
        return None
    text = environment["TF_CONFIG"]
    try:
        config = parse_json(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        jobs = {job: list(cluster.get(job, ())) for job in ("chief", "worker")}
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
        known = kind in jobs
    except (AttributeError, TypeError, ValueError) as error:
        raise _wrong("TF_CONFIG", "JSON with a cluster and a task", text) from (
            error
        )
    addresses = (*jobs["chief"], *jobs["worker"])
    if not addresses:
        return Processes()
    if not known:
        raise _wrong("TF_CONFIG", "of a task chief or worker", text)
    index += len(jobs["chief"]) if kind == "worker" else 0
    return Processes(index, len(addresses), addresses[0], addresses)


def _jax(environment):
    prefix = "KERAS_DISTRIBUTION_"
    addresses = environment.get(prefix + "JOB_ADDRESSES", "")
    addresses = tuple(filter(None, addresses.split(",")))
    count = _integer(environment, prefix + "NUM_PROCESSES", None)
    if count is None:
        if len(addresses) < 2:  # One is that of the coordinator alone.
            return None
        count = len(addresses)
    return Processes(
        _integer(environment, prefix + "PROCESS_ID", 0),
        count,
        addresses[0] if addresses else None,
        addresses if len(addresses) == count else (),
    )


def _torch(environment):
    if not {"WORLD_SIZE", "RANK", "MASTER_ADDR"} <= environment.keys():
        return None
    port = environment.get("MASTER_PORT", _MASTER_PORT)
    return Processes(
        _integer(environment, "RANK"),
        _integer(environment, "WORLD_SIZE"),
        f"{environment['MASTER_ADDR']}:{port}",
    )


def _slurm(environment):
    count = _integer(environment, "SLURM_NTASKS")
    _check_count("`SLURM_NTASKS`", count)
    hosts = _expand_hosts(environment["SLURM_JOB_NODELIST"])
    tasks = environment.get("SLURM_TASKS_PER_NODE", "")
    tasks = _expand_counts(tasks) if tasks else []
    if sum(tasks) != count or len(tasks) != len(hosts):
        most = -(-count // len(hosts))
        tasks = [min(most, max(0, count - i * most)) for i in range(len(hosts))]
    # Jobs that share a node must not meet.
    port = 20000 + _integer(environment, "SLURM_JOB_ID", 0) % 20000
    addresses = tuple(
        f"{host}:{port + task}"
        for host, number in zip(hosts, tasks, strict=True)
        for task in range(number)
    )
    index = _integer(environment, "SLURM_PROCID")
    return Processes(index, count, addresses[0], addresses)


def _expand_hosts(text):
    """Return the names in a list such as `gpu[01-03,7],login`."""
    wrong = _wrong("SLURM_JOB_NODELIST", "as Slurm writes it", text)
    hosts = []
    for item in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        match = re.fullmatch(r"([^\[]*)\[([\d,-]+)\](.*)", item)
        if match is None:
            hosts.append(item)
            continue
        before, ranges, behind = match.groups()
        for part in ranges.split(","):
            span = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
            if span is None:
                raise wrong
            first, last = int(span[1]), int(span[2] or span[1])
            if last - first >= _MOST_PROCESSES - len(hosts):
                raise wrong
            hosts += [
                f"{before}{number:0{len(span[1])}d}{behind}"
                for number in range(first, last + 1)
            ]
    if not hosts:
        raise wrong
    return hosts


def _expand_counts(text):
    """Return the numbers in a list such as `2(x3),1`."""
    wrong = _wrong("SLURM_TASKS_PER_NODE", "as Slurm writes it", text)
    counts = []
    for item in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", item)
        if match is None or len(item) > 20:
            raise wrong
        if int(match[2] or 1) > _MOST_PROCESSES - len(counts):
            raise wrong
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _check_count(name, count):
    if not 1 <= count <= _MOST_PROCESSES:
        raise ValueError(
            f"{name} in the environment must be from 1 to {_MOST_PROCESSES}. "
            f"Received: {count}"
        )


def _integer(environment, name, *default):
    if default and name not in environment:
        return default[0]
    try:
        return int(environment[name])
    except (KeyError, ValueError):
        raise _wrong(name, "an integer", environment.get(name)) from None


def _wrong(name, wanted, received):
    return ValueError(
        f"`{name}` in the environment must be {wanted}. "
        f"Received: {received!r:.200}"
    )


_OWN = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
