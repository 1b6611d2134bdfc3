"""Devices that the backend sees, and what runs fastest on them."""

import keras


def has_accelerator() -> bool:
    """Return whether the backend sees a GPU or a TPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_physical_devices("GPU")
            or tf.config.list_physical_devices("TPU")
        )
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import jax

    return jax.default_backend() != "cpu"


def accelerators() -> list[str]:
    """Return the names of the GPUs, or else TPUs, that this process sees.

    `"GPU:0"` on TensorFlow, `"gpu:0"` on JAX, `"cuda:0"` on PyTorch.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        for kind in ("GPU", "TPU"):
            names = _logical_devices(tf, kind)
            if names:
                return names
        return []
    if backend == "torch":
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    import jax

    if jax.default_backend() == "cpu":
        return []
    return keras.distribution.list_devices()


def cpus() -> list[str]:
    """List the CPUs of this process, which may be cut into several."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return _logical_devices(tf, "CPU")
    if backend == "torch":
        return ["cpu"]
    return keras.distribution.list_devices("cpu")


def _logical_devices(tf, kind):
    if not tf.config.list_physical_devices(kind):
        return []
    devices = tf.config.list_logical_devices(kind)
    return [device.name.removeprefix("/device:") for device in devices]


def fastest_settings() -> tuple[str, bool | str]:
    """Return the data format and `jit_compile` that train fastest.

    Measured on CPUs with `benchmarks/configurations.py`; on accelerators the
    usual choice: Keras' own, and channels first for torch's kernels.

    Returns:
        `"channels_last"` or `"channels_first"`, and what `compile` takes.
    """
    backend = keras.backend.backend()
    data_format = "channels_first" if backend == "torch" else "channels_last"
    if backend == "tensorflow" and not has_accelerator():
        return data_format, False
    return data_format, "auto"
