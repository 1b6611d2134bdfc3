"""The formats, and on which backends they can be written."""

import dataclasses
import importlib.util
import warnings
from collections.abc import Callable

import keras
import numpy as np

from keras_tricks._checks import check_choice
from keras_tricks._keras_version import keras_version


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format for trained networks.

    Attributes:
        name: What it is called here.
        suffix: How its files end; `""` for a folder.
        write: `function(model, path)`.
        read: `function(path)` that returns `function(x)`, which gives the
            outputs of the network in the file.
        backends: Where it can be written.
        packages: What must be installed, by module, to write and verify it.
        since: The first Keras that writes it there, if not the oldest.

    Example:
    >>> FORMATS["keras"].suffix
    '.keras'
    """

    name: str
    suffix: str
    write: Callable
    read: Callable
    backends: tuple[str, ...] = ("tensorflow", "jax", "torch")
    packages: dict[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )
    since: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def check_format(name: str) -> Format:
    """Return a format that this backend can write and verify.

    Args:
        name: A key of `FORMATS`.

    Raises:
        ValueError: If the name is unknown, or the format cannot be written
            on this backend, or by this Keras; the message says on which.
        ImportError: If a package is missing.

    Example:
    >>> check_format("keras").name
    'keras'
    """
    format_ = FORMATS[check_choice("format", name, tuple(FORMATS))]
    backend = keras.backend.backend()
    if backend not in format_.backends:
        other = format_.backends[0]
        here = ", ".join(
            repr(f.name) for f in FORMATS.values() if backend in f.backends
        )
        raise ValueError(
            f"`format` must be one of {here} on {backend}. A .keras file is "
            f"the same on every backend: run it again with "
            f"KERAS_BACKEND={other}. Received: format={name!r}"
        )
    since = format_.since.get(backend, (0, 0))
    if since > keras_version():
        raise ValueError(
            f"`format` must be one that Keras {keras.__version__} writes on "
            f"{backend}; {name} needs Keras {since[0]}.{since[1]} or later. "
            f"Received: format={name!r}"
        )
    needed = format_.packages.get(backend, format_.packages.get("any", ()))
    missing = [p for p in needed if importlib.util.find_spec(p) is None]
    if missing:
        extra = missing[0] if missing[0] in format_.backends else "export"
        raise ImportError(
            f"The format {name} on {backend} needs `pip install "
            f'"keras_tricks[{extra}]"`. Received: no module {missing[0]!r}'
        )
    return format_


def _save(model, path):
    model.save(path)


def _load_keras(path):
    model = keras.saving.load_model(path, compile=False)

    def run(x):
        return keras.ops.convert_to_numpy(model(x, training=False))

    return run


def _exporter(format_):
    def write(model, path):
        with warnings.catch_warnings():
            # Of the converters' own code, which nobody here can change.
            warnings.simplefilter("ignore")
            model.export(path, format=format_, verbose=False)

    return write


def _export_onnx(model, path):
    """Write what the converters know, in place of what Keras calls."""
    mends = _of_torch() if keras.backend.backend() == "torch" else _of_tf(model)
    before = []
    try:
        for owner, name, value in mends:
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)
        _exporter("onnx")(model, path)
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _of_torch():
    """Yield a layer norm whose sizes the tracer takes for constants.

    Keras reads them from the shape of the input.
    """
    import torch

    functional = torch.nn.functional
    layer_norm = functional.layer_norm

    def constant(x, normalized_shape, *args, **kwargs):
        sizes = [int(size) for size in normalized_shape]
        return layer_norm(x, sizes, *args, **kwargs)

    yield functional, "layer_norm", constant


def _of_tf(model):
    """Yield a GELU without erfc, and constants for what normalizes."""
    import tensorflow as tf

    gelu = tf.nn.gelu

    def of_erf(features, approximate=False, name=None):
        if approximate:
            return gelu(features, True, name)
        return 0.5 * features * (1 + tf.math.erf(features / 2**0.5))

    yield tf.nn, "gelu", of_erf
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            for name in ("mean", "variance"):
                value = keras.ops.convert_to_numpy(getattr(layer, name))
                yield layer, name, value


def _export_torch(model, path):
    import torch

    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(
            path, format="torch", verbose=False, dynamic_shapes={0: batch}
        )


def _load_torch(path):
    import torch

    module = torch.export.load(path).module()
    device = next(iter(module.state_dict().values())).device

    def run(x):
        with torch.no_grad():
            outputs = module(torch.from_numpy(x).to(device))
        return outputs.float().cpu().numpy()

    return run


def _load_saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda x: loaded.serve(x).numpy()


def _load_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _load_litert(path):
    interpreter = _litert_interpreter()(model_path=path)
    index = interpreter.get_input_details()[0]["index"]

    def run(x):
        interpreter.resize_tensor_input(index, x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(index, x)
        interpreter.invoke()
        output = interpreter.get_output_details()[0]["index"]
        return np.array(interpreter.get_tensor(output))

    return run


def _litert_interpreter():
    """Return LiteRT's own interpreter, or the one that TensorFlow still has."""
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter
    import tensorflow as tf

    def make(**options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tf.lite.Interpreter(**options)

    return make


FORMATS = {
    "keras": Format("keras", ".keras", _save, _load_keras),
    "savedmodel": Format(
        "savedmodel",
        "",
        _exporter("tf_saved_model"),
        _load_saved_model,
        ("tensorflow", "jax"),
        {"any": ("tensorflow",)},
    ),
    "onnx": Format(
        "onnx",
        ".onnx",
        _export_onnx,
        _load_onnx,
        ("torch", "tensorflow"),
        {
            "torch": ("onnx", "onnxruntime"),
            "tensorflow": ("onnx", "onnxruntime", "tf2onnx"),
        },
        # Of any number of images.
        since={"torch": (3, 14)},
    ),
    "litert": Format(
        "litert",
        ".tflite",
        _exporter("litert"),
        _load_litert,
        ("tensorflow",),
    ),
    "torch": Format(
        "torch",
        ".pt2",
        _export_torch,
        _load_torch,
        ("torch",),
        since={"torch": (3, 15)},
    ),
}
