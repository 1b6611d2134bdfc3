"""Several processes of PyTorch."""

import atexit
import contextlib
import datetime
import os
import socket
from collections.abc import Mapping

import keras
import numpy as np

from keras_tricks.distribute.base import (
    Distribution,
    refuse_mixing_on_device,
)
from keras_tricks.distribute.local_batches import LocalBatches
from keras_tricks.distribute.loopback import loopback_only
from keras_tricks.distribute.processes import Processes

_WAIT = datetime.timedelta(minutes=30)


class TorchProcesses(Distribution):
    """Processes of PyTorch, each with one device, that take the same steps.

    Gradients are averaged before the step, with gloo on CPUs and NCCL on
    GPUs, where process i of a machine has GPU `LOCAL_RANK`. They are not
    averaged while the backward pass still runs.

    Args:
        processes: Those of the environment.
        norm: `"sync"` (default) or `"local"`, see
            `keras_tricks.distribute.distribute`.

    Raises:
        ValueError: If the environment names no processes.
        RuntimeError: If they do not find each other in 30 minutes.

    Example:
    >>> TorchProcesses.name
    'torch_ddp'
    """

    name = "torch_ddp"
    mixes_on_device = False
    compiles = False

    def __init__(self, processes: Processes, norm: str = "sync"):
        _connect(processes)
        import torch.distributed as dist

        self.norm = norm
        self.num_processes = self.num_replicas = dist.get_world_size()
        self.process_index = dist.get_rank()

    def prepare(self, model: keras.Model) -> keras.Model:
        from keras_tricks.distribute.torch import keras_patches

        if not model.compiled:
            raise ValueError(
                "`model` must be compiled before `prepare`. "
                f"Received: model {model.name!r}, not compiled"
            )
        if model.jit_compile:
            raise ValueError(
                '`jit_compile` must be "auto" or False with several processes '
                f"of PyTorch. Received: jit_compile={model.jit_compile}"
            )
        if not keras_patches.keras_averages_gradients(model):
            keras_patches.average_gradients_first(model.optimizer)
        keras_patches.draw_apart(model)
        if self.norm == "sync":
            keras_patches.synchronize_batch_norm(model)
        keras_patches.step_together(model, self.norm == "local")
        return model

    def batches(self, x):
        refuse_mixing_on_device(x)
        return LocalBatches(super().batches(x), self.shard)

    def sum(self, values: np.ndarray) -> np.ndarray:
        import torch
        import torch.distributed as dist

        total = torch.from_numpy(np.array(values))
        dist.all_reduce(total)
        return total.numpy()

    def describe(self) -> str:
        norm = {"sync": "over all of them", "local": "in each"}[self.norm]
        return f"{self.name}: {self.num_processes} processes, batch norm {norm}"


def _connect(processes: Processes) -> None:
    """Let the processes find each other, once."""
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    if processes.coordinator is None:
        raise ValueError(
            '`spec` "torch_ddp" needs MASTER_ADDR, WORLD_SIZE and RANK, as '
            "torchrun and recipes/launch.py set them, or the variables of "
            "Slurm, in the environment. Received: none of them"
        )
    kind = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(_own_gpu(torch.cuda.device_count(), os.environ))
        kind = "cpu:gloo,cuda:nccl"
    fence = contextlib.nullcontext()
    if processes.local:
        fence = loopback_only("PyTorch")
    meets: dict = {"init_method": f"tcp://{processes.coordinator}"}
    try:
        # torchrun has a store of its own.
        agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if processes.local and not agent:
            meets = {"store": _local_store(processes)}
        with fence:
            dist.init_process_group(
                kind,
                **meets,
                rank=processes.index,
                world_size=processes.count,
                timeout=_WAIT,
            )
    except (RuntimeError, OSError) as error:
        raise RuntimeError(
            f"The {processes.count} processes must find each other at "
            f"{processes.coordinator} ({str(error).splitlines()[0]}). "
            f"Received: process {processes.index}"
        ) from None
    atexit.register(dist.destroy_process_group)


def _local_store(processes):
    """Return a store that this machine alone can reach.

    PyTorch's own listens on all interfaces, and believes who connects.
    """
    import torch.distributed as dist

    host, _, port = str(processes.coordinator).rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    listener = None
    if processes.index == 0:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, int(port)), family=family)
        listener = listener.detach()
    store = dist.TCPStore(
        host,
        int(port),
        processes.count,
        is_master=processes.index == 0,
        timeout=_WAIT,
        master_listen_fd=listener,
    )
    return dist.PrefixStore("keras_tricks", store)


def _own_gpu(count: int, environment: Mapping[str, str]) -> int:
    """Return the number of the GPU of this process, of those that it sees."""
    local = environment.get("LOCAL_RANK", environment.get("SLURM_LOCALID"))
    if count == 1:  # Slurm can show each process its own alone.
        return 0
    if int(local or 0) >= count:
        raise ValueError(
            f"Each process of a machine must have a GPU of its own, of {count}."
            f" Received: number {local} of a process, LOCAL_RANK"
        )
    return int(local or 0)
