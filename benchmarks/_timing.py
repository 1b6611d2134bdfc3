"""What the benchmarks share: interleaved timing, and tables of it.

Import this before Keras: it quiets TensorFlow's start.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_tricks  # noqa: E402
from keras_tricks import _backend  # noqa: E402


def environment() -> str:
    """Return one line on backend, versions, cores and load."""
    backend = keras.backend.backend()
    library = __import__(backend)
    # Not `os.cpu_count()`: a container may have fewer.
    cores = len(os.sched_getaffinity(0))
    return (
        f"{backend} {library.__version__}, keras {keras.__version__}, "
        f"keras_tricks {keras_tricks.__version__}, numpy {np.__version__}, "
        f"python {platform.python_version()}, {platform.machine()}, "
        f"{cores} cores, load {os.getloadavg()[0]:.2f}"
    )


def interleave(
    contenders: dict[str, Callable[[], float | None]],
    repeats: int,
    warmup: int = 2,
) -> dict[str, list[float]]:
    """Time contenders in turn, so that noise hits all of them.

    Args:
        contenders: Functions that finish their work before they return. One
            that returns a number has timed itself; otherwise its wall time is
            taken.
        repeats: Rounds. In each, every contender runs once, in an order drawn
            anew.
        warmup: Rounds before those, which are thrown away.

    Returns:
        Seconds of each round, for each contender.
    """
    seconds = {name: [] for name in contenders}
    rng = np.random.default_rng(0)
    for index in range(-warmup, repeats):
        for name in rng.permutation(list(contenders)):
            start = time.perf_counter()
            own = contenders[name]()
            wall = time.perf_counter() - start
            if index >= 0:
                seconds[name].append(wall if own is None else own)
    return seconds


def ratio(ours: list[float], peer: list[float]) -> tuple[float, float, float]:
    """Return the median of the ratios of each round, with its 95 % interval.

    The interval is that of order statistics, which assumes no distribution;
    with fewer than 6 rounds it is the whole range.
    """
    ratios = sorted(a / b for a, b in zip(ours, peer, strict=True))
    count = len(ratios)
    low = int((count - 1.96 * count**0.5) / 2)
    low = max(low, 0) if count >= 6 else 0
    return statistics.median(ratios), ratios[low], ratios[count - 1 - low]


def comparison(
    seconds: dict[str, list[float]], peer: str, scale: float = 1e3
) -> list[list[str]]:
    """Return rows of name, median, minimum, spread, ratio to peer and interval.

    Args:
        seconds: What `interleave` returned.
        peer: The contender that the others are divided by.
        scale: Of the times: 1e3 for milliseconds.

    The spread is the distance between the quartiles in percent of the median.
    """
    rows = []
    for name, times in seconds.items():
        low, median, high = quartiles(times)
        middle, bottom, top = ratio(times, seconds[peer])
        rows.append(
            [
                name,
                f"{median * scale:.2f}",
                f"{min(times) * scale:.2f}",
                f"{(high - low) / median:.1%}",
                f"{middle:.3f}",
                "peer" if name == peer else f"{bottom:.3f} to {top:.3f}",
            ]
        )
    return rows


COMPARISON_HEADER = ["", "median ms", "min ms", "spread", "ratio", "95 %"]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, median and upper quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print rows of text, the first column to the left, the rest right."""
    widths = [
        max(map(len, column)) for column in zip(header, *rows, strict=True)
    ]
    print(f"\n{title}")
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())
    print(flush=True)


class Repeated(keras.utils.PyDataset):
    """The same batch, `steps` times."""

    def __init__(self, x, y, steps):
        super().__init__()
        self.x, self.y, self.steps = x, y, steps

    @property
    def num_batches(self):
        return self.steps

    def __getitem__(self, index):
        return self.x, self.y


class Fit:
    """A contender: one epoch of `fit`, in seconds per step.

    The clock runs from the beginning of the epoch, before the callbacks, to
    its end, after them; what `fit` does before and after its epochs is left
    out.

    Args:
        model: A compiled model.
        dataset: A `keras.utils.PyDataset`.
        callbacks: More callbacks.
    """

    def __init__(self, model, dataset, callbacks=()):
        self.model, self.dataset = model, dataset
        self.steps = dataset.num_batches
        lap = keras.callbacks.LambdaCallback
        self.callbacks = [
            lap(on_epoch_begin=self._start),
            *callbacks,
            lap(on_epoch_end=self._stop),
        ]

    def _start(self, epoch, logs):
        self.start = time.perf_counter()

    def _stop(self, epoch, logs):
        self.seconds = time.perf_counter() - self.start

    def __call__(self):
        history = self.model.fit(
            self.dataset, callbacks=self.callbacks, shuffle=False, verbose=0
        )
        self.loss = history.history["loss"][-1]
        return self.seconds / self.steps


def random_batch(batch_size, image_size, classes, data_format, seed=0):
    """Return normally distributed float32 images and int32 labels."""
    rng = np.random.default_rng(seed)
    shape = [batch_size, image_size, image_size]
    shape.insert(3 if data_format == "channels_last" else 1, 3)
    images = rng.standard_normal(shape, dtype="float32")
    return images, rng.integers(0, classes, batch_size).astype("int32")


def settings(data_format: str, jit_compile: str) -> tuple[str, bool | str]:
    """Resolve the two flags; "auto" is what recipes take."""
    fastest = _backend.fastest_settings()
    if data_format == "auto":
        data_format = fastest[0]
    jit = {"on": True, "off": False, "auto": fastest[1]}[jit_compile]
    return data_format, jit
