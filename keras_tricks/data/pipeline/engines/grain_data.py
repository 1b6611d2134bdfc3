"""The engine of Grain: threads or worker processes, without TensorFlow."""

import atexit
import multiprocessing
import os
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from keras_tricks._signals import (
    end_with_parent,
    is_worker,
    start_workers_here,
)
from keras_tricks.data.pipeline.sample_loader import SampleLoader

_AHEAD = 64


class Engine:
    """Loads samples with Grain.

    Args:
        loader: What to run.
        workers: Worker processes. `None` or 0 for threads in this process.
        deterministic: Grain always keeps the order.
    """

    def __init__(
        self,
        loader: SampleLoader,
        workers: int | None = None,
        deterministic: bool = True,
    ):
        self.loader = loader
        self.workers = workers or 0
        if self.workers and not flags.FLAGS.is_parsed():
            # Grain reads flags of its own, which only a recipe has parsed.
            flags.FLAGS.mark_as_parsed()

    def batches(
        self, epoch: int, samples: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield numbers of samples, images and labels, in batches.

        Samples that cannot be read are left out.
        """
        loaded = grain.MapDataset.source(samples).map(_Load(self.loader, epoch))
        threads = 1 if self.workers else os.cpu_count()
        dataset = loaded.to_iter_dataset(grain.ReadOptions(threads, _AHEAD))
        if self.workers:
            start_workers_here()
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self.workers)
            )
        batch = []
        for element in dataset:
            batch.append(element)
            if len(batch) == batch_size:
                yield _stack(batch)
                batch = []
        if batch:
            yield _stack(batch)


@atexit.register
def _kill_workers():
    """Not to wait half a minute for those that are still starting."""
    for process in multiprocessing.active_children():
        if process.name.startswith("grain"):
            process.kill()


class _Load(grain.transforms.Map):
    def __init__(self, loader, epoch):
        self.loader = loader
        self.epoch = epoch

    def __setstate__(self, state):
        self.__dict__.update(state)
        if is_worker():
            end_with_parent()

    def map(self, sample):
        try:
            image, label = self.loader.load(self.epoch, int(sample))
        except ValueError:
            return None  # Grain leaves it out; who asked for it will see.
        return sample, image, np.asarray(label, self.loader.label_dtype)


def _stack(batch):
    return tuple(np.stack(column) for column in zip(*batch, strict=True))
