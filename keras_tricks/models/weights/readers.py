"""Tensors out of files, told by what is in them, and into files."""

import argparse
import io
import mmap
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np

from keras_tricks._checks import first_line
from keras_tricks._text import printable
from keras_tricks._untrusted import (
    check_archive,
    check_memory,
    hdf5_arrays,
    read_arrays,
)

# In the order in which timm looks for them.
STATE_DICTS = ("state_dict_ema", "model_ema", "state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")
SUFFIXES = (".safetensors", ".npz", ".pth", ".pt")
_CALL = b"\nbytearray\n"


def missing_extra(what: str, extra: str) -> ImportError:
    """Return the error for a file that needs a package of an extra."""
    return ImportError(f'{what} need `pip install "keras_tricks[{extra}]"`.')


def refusal(path, reason) -> ValueError:
    """Return the error for a file that cannot be read."""
    return ValueError(
        "`source` must be a whole .safetensors, .pth, .pt, .npz or .h5 file of "
        f"weights. Received: {os.fspath(path)!r}, "
        f"{printable(str(reason))[:400]}"
    )


def read_tensors(path: Path, key: str | None = None):
    """Read a file of tensors, whatever its name.

    Args:
        path: The file.
        key: Where several state dictionaries are in the file: which one.

    Returns:
        Arrays by name, and the key that was taken, or None.

    Raises:
        ValueError: If the file is damaged or of another kind.
        ImportError: If a package is missing.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    reader, reason = _kind(path, start)
    if reader is None:
        raise refusal(path, reason)
    try:
        check_memory("its content", os.path.getsize(path))
    except ValueError as error:
        raise refusal(path, error) from None
    if reader is not _read_torch and key is not None:
        raise ValueError(
            "`key` must be None for a file that has no state dictionaries. "
            f"Received: key={key!r}"
        )
    if reader is _read_torch:
        tensors, key = _read_torch(path, key)
    else:
        tensors = reader(path)
    if not tensors:
        raise refusal(path, "which holds no tensors")
    return _without_prefix(tensors), key


def _kind(path, start):
    """Return the function that reads the file, or why there is none."""
    text = start.lstrip().lower()
    if not start:
        return None, "an empty file"
    if start.startswith(b"version https://git-lfs"):
        return None, "a pointer of git-lfs: fetch the file with `git lfs pull`"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return None, "a web page: the download went wrong"
    if start.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if start.startswith(b"\x89HDF\r\n"):
        return _read_h5, ""
    if len(start) > 8 and start[8:9] == b"{":
        return _read_safetensors, ""
    if start.startswith(b"\x80"):
        return _read_torch, ""
    return None, f"which begins with {start[:8]!r}"


def _zip_kind(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return None, "an archive that is cut short"
    if any(name.endswith("data.pkl") for name in names):
        return _read_torch, ""
    if all(name.endswith(".npy") for name in names):
        return _read_npz, ""
    return None, f"an archive of {', '.join(sorted(names)[:3])}"


def _read_npz(path):
    try:
        return read_arrays(path)
    except ValueError as error:
        raise refusal(path, f"which is damaged: {error}") from error


def _read_safetensors(path):
    try:
        import ml_dtypes
        import safetensors
    except ImportError as error:
        raise missing_extra(".safetensors files", "weights") from error
    try:
        tensors = safetensors.deserialize(Path(path).read_bytes())
    except safetensors.SafetensorError as error:
        raise refusal(path, f"which is damaged: {first_line(error)}") from error
    types = {
        "F64": np.float64,
        "F32": np.float32,
        "F16": np.float16,
        "BF16": ml_dtypes.bfloat16,
        "I64": np.int64,
        "I32": np.int32,
    }
    for name, tensor in tensors:
        if tensor["dtype"] not in types:
            raise refusal(path, f"with {name!r} of type {tensor['dtype']}")
    try:
        return {
            name: np.frombuffer(t["data"], types[t["dtype"]]).reshape(
                t["shape"]
            )
            for name, t in tensors
        }
    except ValueError as error:
        raise refusal(path, f"which is damaged: {first_line(error)}") from error


def _read_h5(path):
    """Read the files of keras.applications: `layer/layer/kernel:0`."""
    import h5py

    tensors = {}
    try:
        with h5py.File(path) as file:
            part = "model_weights/" if "model_weights" in file else ""
            for name, item in hdf5_arrays(file):
                if not name.startswith(part):
                    continue
                if item.dtype.kind not in "fiub":
                    raise ValueError(f"{name} is no array of numbers")
                tensors[name.removeprefix(part)] = np.asarray(item)
    except Exception as error:  # The library fails in many ways.
        raise refusal(path, f"which is damaged: {first_line(error)}") from error
    return {
        "/".join(name.split("/")[-2:])
        .removesuffix(":0")
        .replace("/depthwise_kernel", "/kernel"): tensor
        for name, tensor in tensors.items()
    }


def _read_torch(path, key):
    try:
        import torch
    except ImportError as error:
        raise missing_extra(".pth files", "torch") from error
    try:
        _check_pickle(path)
        # The trainers of timm and torchvision save their arguments as well.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise refusal(
            path,
            "whose pickle holds more than tensors and could run code: save its "
            "state_dict() alone",
        ) from error
    except Exception as error:  # Damaged pickles fail in many ways.
        raise refusal(path, f"which is damaged: {first_line(error)}") from error
    state, key = _state_dict(path, content, key)
    return {name: _to_numpy(path, name, t) for name, t in state.items()}, key


def _check_pickle(path):
    """Refuse an archive that has changed, and what would fill the memory.

    Of all that `weights_only` lets a pickle call, `bytearray` alone takes
    memory that nothing in the file stands for.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_archive(archive)
            damaged = archive.testzip()  # PyTorch itself does not look.
            if damaged is not None:
                raise ValueError(f"{damaged} has changed")
            for name in archive.namelist():
                if name.endswith("data.pkl") and _CALL in archive.read(name):
                    raise pickle.UnpicklingError
    else:
        with open(path, "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if data.find(_CALL) >= 0:
                    raise pickle.UnpicklingError


def _state_dict(path, content, key):
    """Return the dictionary of tensors in what a .pth file holds."""
    import torch

    if not isinstance(content, dict):
        raise refusal(path, f"which holds a {type(content).__name__}")
    if key is not None and not isinstance(content.get(key), dict):
        raise ValueError(
            "`key` must be that of a state dictionary in the file, which has "
            f"{', '.join(map(str, content))}. Received: key={key!r}"
        )
    if key is None:
        found = (k for k in STATE_DICTS if isinstance(content.get(k), dict))
        key = next(found, None)
    state = content if key is None else content[key]
    others = [
        k
        for k, v in state.items()
        if not isinstance(v, torch.Tensor) or not isinstance(k, str)
    ]
    if others:
        raise refusal(
            path,
            f"with {', '.join(map(str, others[:5]))} beside the tensors: say "
            "with `key` where the weights are",
        )
    return state, key


def _to_numpy(path, name, tensor):
    import ml_dtypes
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized:
        raise refusal(path, f"with {name!r} sparse or quantized")
    tensor = tensor.detach()
    if tensor.device.type != "cpu" or tensor.is_complex():
        raise refusal(path, f"with {name!r} that has no real numbers")
    if tensor.nbytes > tensor.untyped_storage().nbytes():
        raise refusal(
            path,
            f"with {name!r} that declares {tensor.nbytes} bytes and holds "
            f"{tensor.untyped_storage().nbytes()}",
        )
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(ml_dtypes.bfloat16)
    return tensor.numpy()


def _without_prefix(tensors):
    """Remove what wrappers put before every name, and their counters."""
    tensors = {k: v for k, v in tensors.items() if k != "n_averaged"}
    for prefix in PREFIXES * 2:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {k[len(prefix) :]: v for k, v in tensors.items()}
    return tensors


def to_bytes(tensors: dict[str, np.ndarray], suffix: str) -> bytes:
    """Return the content of a file of tensors.

    Args:
        tensors: Arrays by name.
        suffix: One of `SUFFIXES`.

    Raises:
        ImportError: If a package is missing.
    """
    tensors = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    if suffix == ".safetensors":
        try:
            import safetensors.numpy
        except ImportError as error:
            raise missing_extra(".safetensors files", "weights") from error
        # Some readers of PyTorch ask for the format.
        return safetensors.numpy.save(tensors, {"format": "pt"})
    buffer = io.BytesIO()
    if suffix == ".npz":
        # NumPy's stubs take any name for `allow_pickle`.
        np.savez(buffer, **tensors)  # type: ignore[arg-type]
        return buffer.getvalue()
    try:
        import torch
    except ImportError as error:
        raise missing_extra(".pth files", "torch") from error
    torch.save({k: torch.from_numpy(v) for k, v in tensors.items()}, buffer)
    return buffer.getvalue()
