import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _backend, _checks
from keras_tricks._lock import FolderLock
from keras_tricks._types import PathLike
from keras_tricks.distillation import _kinds, _packed, _store
from keras_tricks.distillation.check_teacher import (
    call_teacher,
    check_adapt,
    measure_teacher,
    refuse_activation,
    refuse_unbuilt,
)


@dataclasses.dataclass(frozen=True)
class PrecomputeReport:
    """What `precompute_logits` did.

    Attributes:
        path: Folder of the store.
        computed: Samples that the teacher was asked about.
        reused: Samples whose logits were there.
    """

    path: str
    computed: int
    reused: int


def precompute_logits(
    teacher: keras.Model,
    dataset: Any,
    path: PathLike,
    adapt: Callable | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    verbose: int = 1,
) -> PrecomputeReport:
    """Write the teacher's logits for a data set to disk, once for all runs.

    `logits[i] = float16(teacher(adapt(x[i]), training=False))`

    The store is a folder of memory-mapped arrays, two bytes a logit, with
    checksums of every row and of the view it is for. If it is there already,
    only rows that are missing, damaged or of another view are computed, so
    after an interruption the same call goes on where it was.

    Args:
        teacher: A built Keras model that gives logits `(B, K)`.
        dataset: Data whose samples come in the same order and view whenever
            they are read: a `keras_tricks.data.Batches` (shuffled or not), a
            tuple of arrays `(x, y)`, a batched and finite `tf.data.Dataset`
            (read once more to count it), a `keras.utils.PyDataset` whose
            batches but the last are equally large, or samples `(x, y)` behind
            `__len__` and `__getitem__`, as a torch `Dataset` or a Grain
            `MapDataset` has them. x is one array.
        path: Folder of the store.
        adapt: Function of x that gives the teacher's input, such as
            `AdaptImages`. Defaults to None.
        epochs: Only for `Batches` with augmentation or mixup: store the
            logits for the views of that many epochs. Defaults to None.
        batch_size: Samples that the teacher gets at once, where the data set
            has no batches of its own. Defaults to 32.
        verbose: 0, or 1 for a progress bar. Defaults to 1.

    Returns:
        A `PrecomputeReport`: `path`, and the samples `computed` and
        `reused`.

    Raises:
        ValueError: If the views change between two readings, if the store is
            of another teacher or data set, or if the teacher ends in an
            activation or gives values that float16 cannot hold.

    Warns:
        UserWarning: If the teacher is no better than chance.

    Example:
    >>> import tempfile
    >>> teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> teacher.layers[0].set_weights([4 * np.eye(2), np.zeros(2)])
    >>> y = np.arange(16) % 2
    >>> data = np.eye(2, dtype="float32")[y], y
    >>> with tempfile.TemporaryDirectory() as path:
    ...     first = precompute_logits(teacher, data, path, verbose=0)
    ...     again = precompute_logits(teacher, data, path, verbose=0)
    >>> first.computed, again.computed, again.reused
    (16, 0, 16)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.3; the
          teacher is run ahead of training
    """
    refuse_activation(teacher)
    refuse_unbuilt(teacher)
    check_adapt(adapt)
    batch_size = _checks.check_int("batch_size", batch_size, 1)
    if epochs is not None:
        epochs = _checks.check_int("epochs", epochs, 1)
    kind = _kinds.kind_of(dataset, batch_size)
    kind.check_epochs(epochs)
    if not kind.samples:
        raise ValueError("`dataset` must hold samples. Received: none")
    _check_repeatable(kind)
    known = {
        "samples": kind.samples,
        "epochs": epochs,
        "fingerprint": _store.fingerprint(teacher),
        "adapt": _describe(adapt),
    }
    ask = _asker(teacher, adapt)
    counts = {"computed": 0, "reused": 0}
    progress = keras.utils.Progbar(
        kind.total(epochs), verbose=verbose, unit_name="sample"
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(FolderLock(path, "path"))
        store = _store.Store.resume(path, teacher.name, **known)
        if store is not None:
            stack.callback(store.flush)
        for rows, batch in kind.read(epochs):
            x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
            views = _store.checksums(x)
            if store is not None and store.holds(rows, views):
                counts["reused"] += len(rows)
            else:
                known_labels = () if counts["computed"] else (y, weight)
                logits = ask(x, *known_labels)
                if store is None:
                    store = _store.Store.create(
                        path,
                        _store.Contents(
                            num_classes=logits.shape[-1],
                            teacher=teacher.name,
                            **known,
                        ),
                    )
                    stack.callback(store.flush)
                store.write(rows, logits, views)
                counts["computed"] += len(rows)
            progress.update(sum(counts.values()))
    return PrecomputeReport(str(path), **counts)


def with_teacher_logits(
    dataset: Any, path: PathLike, check_images: bool = True
) -> Any:
    """Return the data set with stored teacher logits beside its labels.

    `y -> pack_targets(y, logits)`, for `keras_tricks.losses.LabelSmoothedKD`
    in plain `fit`. The logits are read from the disk as they are needed.

    Args:
        dataset: The data set given to `precompute_logits`, or one of the
            same samples, views and order. `Batches` may be shuffled and of
            another batch size, if they do not augment. Sample weights pass
            through.
        path: Folder of the store.
        check_images: Whether the bytes of every x are compared with those
            that the teacher saw, by a CRC-32: gigabytes a second on one
            core. Defaults to True.

    Returns:
        A data set of the same kind: a `keras.utils.PyDataset` for `Batches`
        (with their `set_epoch` and `batch`) and for a `PyDataset`, arrays
        `(x, packed)`, a `tf.data.Dataset`, or samples for worker processes.

    Raises:
        ValueError: If the store is not complete or damaged, or if a view is
            not the one that the teacher saw; in a running `tf.data` pipeline
            as `tf.errors.InvalidArgumentError`.

    Example:
    >>> import tempfile
    >>> from keras_tricks.losses import LabelSmoothedKD
    >>> teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> teacher.layers[0].set_weights([4 * np.eye(2), np.zeros(2)])
    >>> y = np.arange(16) % 2
    >>> data = np.eye(2, dtype="float32")[y], y
    >>> with tempfile.TemporaryDirectory() as path:
    ...     report = precompute_logits(teacher, data, path, verbose=0)
    ...     x, packed = with_teacher_logits(data, path)
    >>> packed[0].tolist()
    [1.0, 0.0, 0.0, -4.0]
    >>> student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> student.compile("sgd", LabelSmoothedKD(temperature=2.0))
    >>> history = student.fit(x, packed, verbose=0)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.3
    """
    kind = _kinds.kind_of(dataset)
    reader = _packed.Reader(path, check_images)
    contents = reader.store.contents
    kind.check_epochs(contents.epochs)
    if kind.fixed_size and kind.samples != contents.samples:
        raise ValueError(
            f"`dataset` must have the {contents.samples} samples of the "
            f"store. Received: {kind.samples} samples, path={str(path)!r}"
        )
    return kind.pack(reader)


def _asker(teacher, adapt):
    """Return a function from images to logits, with labels to measure it by."""
    variables = [*teacher.variables, *getattr(adapt, "variables", [])]
    run = _backend.inference(
        lambda x: call_teacher(teacher, x, adapt), variables
    )

    def ask(x, y=None, sample_weight=None):
        logits = run(ops.convert_to_tensor(x))
        if y is not None:
            measure_teacher(teacher, logits, y, sample_weight=sample_weight)
        if len(getattr(logits, "shape", ())) != 2:
            raise ValueError(
                "`teacher` must have one output, logits of shape (B, K). "
                f"Received: teacher={teacher.name!r}"
            )
        return ops.convert_to_numpy(ops.cast(logits, "float32"))

    return ask


def _check_repeatable(kind):
    """Refuse data whose first batch looks different when read again."""
    first, again = (
        _store.checksums(_packed.x_of(next(kind.read())[1])) for _ in range(2)
    )
    if not np.array_equal(first, again):
        raise ValueError(
            "`dataset` must show each sample in one view and one order, or "
            "the stored logits would belong to another view than the one "
            "trained on: take shuffling and augmentation out, or let a "
            "Distiller run the teacher in training. Received: a data set "
            "whose first batch changes when it is read again"
        )


def _describe(adapt):
    """Return what can be told of a function, the same in another process."""
    if adapt is None or dataclasses.is_dataclass(adapt):
        return None if adapt is None else repr(adapt)
    return getattr(adapt, "__qualname__", type(adapt).__qualname__)
