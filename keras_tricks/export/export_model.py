"""Write, read back, compare, and only then keep."""

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_tricks._checks import check_real, first_line
from keras_tricks._files import storage_error, temporary_folder
from keras_tricks._model_facts.precision import compute_dtypes
from keras_tricks.export.formats import check_format

# Of what the outputs may differ by, relative to the largest of them.
_TOLERANCES = {"float16": 2e-2, "bfloat16": 1e-1}
_TOLERANCE = 1e-3
_KEPT = "The network is as it was"
# Of a parameter, in a file.
_BYTES = 4


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """How an exported file compares with the network.

    Attributes:
        path: The file, or the folder.
        format: Its format.
        images: How many images the two were compared on.
        difference: Largest difference of an output.
        scale: Largest output of the network, in magnitude.
        same_class: On how many images the two agree on the first class.
        size: Bytes of the file, or of all files in the folder.
        input_shape: What the file takes, `None` where any number will do.
        fixed: Why it takes one size of images although the network takes any;
            `""` if it does not.

    Example:
    >>> report = ExportReport("m.onnx", "onnx", 16, 1e-5, 10.0, 16, 400_000)
    >>> print(report)
    m.onnx: onnx, 0.4 MB; on 16 images outputs up to 10 differ by at most \
1e-05, and 16 of 16 have the same first class
    """

    path: str
    format: str
    images: int
    difference: float
    scale: float
    same_class: int
    size: int
    input_shape: tuple[int | None, ...] = ()
    fixed: str = ""

    def __str__(self):
        shape = " x ".join(map(str, self.input_shape[1:]))
        fixed = f"; for images of {shape} alone ({self.fixed})"
        return (
            f"{self.path}: {self.format}, {self.size / 1e6:.1f} MB; on "
            f"{self.images} images outputs up to {self.scale:.3g} differ by at "
            f"most {self.difference:.2g}, and {self.same_class} of "
            f"{self.images} have the same first class"
            f"{fixed if self.fixed else ''}"
        )


def export_model(
    model: keras.Model,
    path: str | os.PathLike,
    format: str,
    examples: np.ndarray,
    tolerance: float | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export a network and make sure that the file computes the same.

    The file is written under another name, read back by the runtime that it
    is for, and run on `examples`, all at once and the first one alone. Only
    if its outputs are those of the network does it get its name; otherwise
    nothing is left.

    A network of images of any size is run on `examples` of another size too,
    which has the other parity after each of five halvings, so that padding of
    one size shows. If that fails, the file is made for the size of
    `examples` alone, and the report says why.

    Formula: `max |y_file - y| <= tolerance * max |y|`.

    Args:
        model: A Keras model of one input and one output.
        path: File to write, with the suffix of the format; for
            `"savedmodel"` a folder. Its parent must exist.
        format: A key of `FORMATS`: `"keras"`, `"savedmodel"`, `"onnx"`,
            `"litert"` or `"torch"`.
        examples: float32, shape `(N, ...)`: inputs of the network, of real
            images if possible, N at least 2.
        tolerance: Defaults to 1e-3, to 2e-2 of networks that compute in
            float16, and to 1e-1 in bfloat16.
        overwrite: Whether to replace a file of that name. Defaults to
            `False`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If an argument is not as described, or this backend
            cannot write the format.
        ImportError: If a package is missing.
        OSError: If the disk is full, say.
        RuntimeError: If the conversion fails, the file cannot be read back
            or run, or its outputs differ too much.

    Example:
    >>> import tempfile
    >>> layers = [keras.Input((4,)), keras.layers.Dense(3)]
    >>> path = tempfile.mkdtemp() + "/small.keras"
    >>> report = export_model(
    ...     keras.Sequential(layers), path, "keras", np.eye(4, dtype="float32")
    ... )
    >>> report.same_class, report.difference
    (4, 0.0)
    """
    format_ = check_format(format)
    target = _check_path(Path(path), format_, overwrite)
    examples = _check_examples(model, examples)
    if tolerance is None:
        dtypes = compute_dtypes(model)
        tolerance = max(_TOLERANCES.get(d, _TOLERANCE) for d in dtypes)
    check_real("tolerance", tolerance, 0)
    # The first alone, too: a file may be made for one batch size.
    batches = [examples, examples[:1]]
    with temporary_folder(target) as folder:
        if None not in model.input_shape[1:]:
            report = _write(format_, model, folder, target, batches, tolerance)
        else:
            report = _write_free(
                format_, model, folder, target, batches, tolerance
            )
        _replace(folder / target.name, target, folder)
    return report


def _write_free(format_, model, folder, target, batches, tolerance):
    """Write a file of any size of images, or else of that of the examples."""
    others = [other_sizes(batches[1], model.input_shape)]
    try:
        return _write(
            format_, model, folder, target, batches + others, tolerance
        )
    except RuntimeError as error:
        reason = first_line(error.__cause__ or error)
    path = folder / target.name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    inputs = keras.Input(batches[0].shape[1:])
    fixed = keras.Model(inputs, model(inputs), name=model.name)
    report = _write(format_, fixed, folder, target, batches, tolerance)
    return dataclasses.replace(report, fixed=reason)


def other_sizes(
    examples: np.ndarray, input_shape: tuple[int | None, ...]
) -> np.ndarray:
    """Return examples of another size along the axes where any will do.

    After k halvings, rounded up, a side of S has the parity of
    `((S - 1) >> k) + 1`. The new size has the other one for k = 0 ... 4.

    Args:
        examples: Shape `(N, ...)`.
        input_shape: Of the network: `None` where any size will do.

    Returns:
        The examples cut off, or continued with themselves.

    Example:
    >>> other_sizes(np.zeros((1, 224, 8, 3)), (None, None, None, 3)).shape
    (1, 193, 25, 3)
    """
    for axis, side in enumerate(input_shape[1:], 1):
        if side is None:
            size = examples.shape[axis]
            other = ((size - 1) ^ 31) + 1
            other += 32 * (2 * other < size)
            examples = np.take(examples, np.arange(other) % size, axis)
    return examples


def _write(format_, model, folder, target, batches, tolerance):
    """Write a file, run it on each of the batches, and compare."""
    path = folder / target.name
    # First of all: some converters want a network that was called.
    expected = [_run(model.predict_on_batch, batches[0])]
    expected += [expected[0][:1]]
    expected += [_run(model.predict_on_batch, x) for x in batches[2:]]
    _check_space(model, target)
    try:
        format_.write(model, str(path))
        run = format_.read(str(path))
        outputs = [_run(run, x) for x in batches]
    except Exception as error:
        # Converters and runtimes fail in ways of their own.
        explained = storage_error(error, target, _KEPT)
        if explained is not error:
            raise explained from error
        raise RuntimeError(
            f"`model` must be one that {format_.name} can hold; of mixed "
            "precision, its float32 form may be "
            f"({first_line(error)}). Received: model={model.name!r}"
        ) from error
    report = _compare(path, format_.name, expected, outputs, model.input_shape)
    _check_difference(report, tolerance)
    return dataclasses.replace(report, path=str(target))


def _check_space(model, target):
    """Refuse a disk without room; on one, torch's writer ends the process."""
    if (
        1.1 * _BYTES * model.count_params()
        > shutil.disk_usage(target.parent).free
    ):
        error = OSError(errno.ENOSPC, "")
        raise storage_error(error, target, _KEPT)


def _run(function, x):
    return np.asarray(function(x)).astype("float64")


def _check_path(path, format_, overwrite):
    if path.suffix != format_.suffix and format_.suffix:
        raise ValueError(
            f"`path` must end in {format_.suffix}. Received: path={str(path)!r}"
        )
    if not path.parent.is_dir():
        raise ValueError(
            "`path` must be in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    if path.exists() and not overwrite:
        raise ValueError(
            "`path` must be new unless `overwrite` is given. "
            f"Received: path={str(path)!r}"
        )
    return path


def _check_examples(model, examples):
    examples = np.asarray(examples)
    shape = model.input_shape
    fits = len(examples.shape) == len(shape) and all(
        want in (None, have)
        for want, have in zip(shape[1:], examples.shape[1:], strict=True)
    )
    if examples.dtype != np.float32 or not fits or len(examples) < 2:
        raise ValueError(
            f"`examples` must be at least two float32 inputs of shape {shape}. "
            f"Received: examples.dtype={examples.dtype}, "
            f"examples.shape={examples.shape}"
        )
    return examples


def _compare(path, format_, expected, outputs, input_shape):
    wanted, found = ([y.shape for y in ys] for ys in (expected, outputs))
    if wanted != found:
        raise RuntimeError(
            f"The file must give outputs of shape {wanted[0]}, and of one "
            f"image {wanted[1]}. Received: {', '.join(map(str, found))}"
        )
    differences = [
        np.abs(y - wanted).max()
        for y, wanted in zip(outputs, expected, strict=True)
    ]
    files = [path, *path.rglob("*")]
    same = outputs[0].argmax(-1) == expected[0].argmax(-1)
    return ExportReport(
        path=str(path),
        format=format_,
        images=len(expected[0]),
        # `max` of Python would lose a NaN.
        difference=float(np.max(differences)),
        scale=max(float(np.abs(y).max()) for y in expected),
        same_class=int(same.sum()),
        size=sum(file.stat().st_size for file in files if file.is_file()),
        input_shape=tuple(input_shape),
    )


def _check_difference(report, tolerance):
    allowed = tolerance * report.scale
    # Written so that NaN is refused.
    if not report.difference <= allowed:
        raise RuntimeError(
            f"The file's outputs must differ by at most {allowed:.3g} "
            f"(`tolerance` {tolerance:g} of {report.scale:.3g}); it was not "
            f"kept. Received: a difference of {report.difference:.3g}, "
            f"{report.same_class} of {report.images} images with the same class"
        )


def _replace(temporary, path, folder):
    """Give the file its name; an old one goes when the new one is there."""
    if temporary.is_dir() and path.exists():
        os.replace(path, folder / "replaced")
    os.replace(temporary, path)
