"""What an array is and which values it holds, without importing a library."""

import sys

import keras
import numpy as np


def is_tf_tensor(x) -> bool:
    """Say whether `x` is a TensorFlow tensor, without importing TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.Tensor)


def is_torch_tensor(x) -> bool:
    """Say whether `x` is a tensor of torch, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def torch_worker() -> tuple[int, int] | None:
    """Return the number of this worker of a DataLoader, and of workers.

    Returns:
        `None` outside of the worker processes of a `DataLoader`.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.compiler.is_compiling():
        return None  # A compiled step is no worker, and cannot ask.
    info = torch.utils.data.get_worker_info()
    return None if info is None else (info.id, info.num_workers)


def is_symbolic(x) -> bool:
    """Return whether `x` has no value yet: a KerasTensor or a JAX tracer."""
    if isinstance(x, keras.KerasTensor):
        return True
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def concrete(x):
    """Return the values of `x` as a NumPy array if they can be read.

    Only PyTorch trains without compiling the step, so only there an
    accelerator would be waited for at each step: see `on_host`.

    Args:
        x: Array or tensor.

    Returns:
        An array, or None for symbolic tensors, and for tensors of torch on
        another device than the CPU.
    """
    if is_symbolic(x):
        return None
    if is_tf_tensor(x):
        return x.numpy() if hasattr(x, "numpy") else None
    if is_torch_tensor(x):
        torch = sys.modules["torch"]
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return None
        x = x.detach()
        return x.float().numpy() if x.is_floating_point() else x.numpy()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(x, jax.Array):
        return np.asarray(x) if x.is_fully_addressable else None
    return np.asarray(x)


def on_host(x):
    """Copy a tensor of torch to the CPU, which waits for an accelerator.

    Args:
        x: Array or tensor.

    Returns:
        The copy; `x` itself on other backends, and without values.
    """
    return x.detach().cpu() if _is_torch_with_values(x) else x


def _is_torch_with_values(x):
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and isinstance(x, torch.Tensor)
        and x.device.type != "meta"
        and not torch.compiler.is_compiling()
    )
