"""The pipelines of others that `input_throughput.py` runs beside ours.

Each is made of `input_throughput.Settings`, and called for one measurement.
"""

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from keras_tricks.data import Preprocessing, TrainTransform
from keras_tricks.data.pipeline.sample_loader import SampleLoader
from keras_tricks.data.transforms import (
    add_lighting,
    decode_image,
    draw_crop,
    draw_lighting,
    open_image,
)
from keras_tricks.data.transforms.random_crops import cut
from keras_tricks.data.transforms.resize import resize


class PillowDecode:
    """A contender: Pillow's decoder alone, in threads of Grain."""

    def __init__(self, settings):
        import grain

        files = settings.files
        dataset = grain.MapDataset.range(len(files)).repeat()
        dataset = dataset.map(lambda i: decode_image(files.read(i)).shape)
        options = grain.ReadOptions(len(os.sched_getaffinity(0)), 64)
        self.shapes = iter(dataset.to_iter_dataset(options))
        self.images = settings.images

    def __call__(self):
        for _ in range(self.images):
            next(self.shapes)


class _Walk:
    """Takes the batches of a measurement out of a data set of TensorFlow."""

    def walk(self, dataset, settings):
        self.shapes = iter(dataset.batch(settings.batch_size))
        self.steps = settings.images // settings.batch_size

    def __call__(self):
        for _ in range(self.steps):
            next(self.shapes)


class TensorFlowDecode(_Walk):
    """A contender: TensorFlow's decoder alone, in tf.data."""

    def __init__(self, settings):
        import tensorflow as tf

        files = settings.files
        data = [files.read(i) for i in range(len(files))]
        dataset = tf.data.Dataset.from_tensor_slices(data).repeat()
        dataset = dataset.map(
            lambda x: tf.shape(
                tf.io.decode_jpeg(x, 3, dct_method="INTEGER_ACCURATE")
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        self.walk(dataset, settings)


class CropDecode(_Walk):
    """A contender: TensorFlow decodes the crops alone, drawn beforehand."""

    def __init__(self, settings):
        import tensorflow as tf

        loader = SampleLoader(
            settings.files, TrainTransform(settings.image_size)
        )
        samples = range(len(settings.files))
        read = [loader.read(epoch=0, sample=i) for i in samples]
        read = [entry[:2] for entry in read if entry[0]]
        boxes = [dataclasses.astuple(drawn.box) for _, drawn in read]
        jpegs = [jpeg for jpeg, _ in read]
        dataset = tf.data.Dataset.from_tensor_slices((jpegs, boxes)).repeat()
        dataset = dataset.map(
            lambda x, box: tf.shape(
                tf.io.decode_and_crop_jpeg(
                    x, box, 3, dct_method="INTEGER_ACCURATE"
                )
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        self.walk(dataset, settings)


class Resize:
    """A contender: the resize of crops alone, in one thread."""

    def __init__(self, settings, resizer):
        loader = SampleLoader(
            settings.files, TrainTransform(settings.image_size)
        )
        self.parts = []
        for sample in range(64):
            jpeg, drawn, _ = loader.read(epoch=0, sample=sample)
            if drawn is not None:
                image = open_image(jpeg)
                self.parts.append(np.asarray(cut(image, drawn.box)))
        self.settings, self.resizer = settings, resizer

    def __call__(self):
        size = self.settings.image_size
        for i in range(self.settings.images):
            part = self.parts[i % len(self.parts)]
            resize(part, size, "bilinear", self.resizer)


class TorchLoader:
    """A contender: a torch DataLoader with Pillow doing the same.

    In this process, so that sending batches between processes costs nothing.
    """

    def __init__(self, settings, colors):
        import torch

        torch.set_num_threads(1)
        files, images = settings.files, settings.images
        outer, own = self, Preprocessing(settings.image_size)
        mean, std = (np.float32(v) for v in (own.mean, own.std))
        size = (settings.image_size, settings.image_size)

        class Views(torch.utils.data.Dataset):
            def __len__(self):
                return images

            def __getitem__(self, index):
                index = (outer.place + index) % len(files)
                image = Image.open(io.BytesIO(files.read(index)))
                image = image.convert("RGB")
                box = draw_crop(outer.rng, image.height, image.width)
                right, bottom = box.left + box.width, box.top + box.height
                image = image.crop((box.left, box.top, right, bottom))
                image = image.resize(size, Image.Resampling.BILINEAR)
                if outer.rng.random() < 0.5:
                    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                if colors:
                    for kind in ("Brightness", "Contrast", "Color"):
                        factor = outer.rng.uniform(0.6, 1.4)
                        image = getattr(ImageEnhance, kind)(image)
                        image = image.enhance(factor)
                x = np.asarray(image)
                if colors:
                    x = add_lighting(x, draw_lighting(outer.rng))
                x = (x.astype("float32") - mean) / std
                return torch.from_numpy(x), int(files.labels[index])

        self.rng, self.place = np.random.default_rng(0), 0
        self.loader = torch.utils.data.DataLoader(Views(), settings.batch_size)

    def __call__(self):
        for _ in self.loader:
            pass
        self.place += len(self.loader.dataset)


class KerasFolder:
    """A contender: image_dataset_from_directory and layers of core Keras.

    It resizes whole images, since Keras has no random crop by area.
    """

    def __init__(self, settings):
        import keras
        import tensorflow as tf

        files, folder = settings.files, settings.folder
        for index, label in enumerate(files.labels[: settings.images]):
            place = Path(folder, f"{label:04}")
            place.mkdir(exist_ok=True)
            (place / f"{index}.jpg").write_bytes(files.read(index))
        own, size = Preprocessing(settings.image_size), settings.image_size
        layers = [
            keras.layers.RandomCrop(size, size),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.Normalization(
                mean=own.mean, variance=np.square(own.std)
            ),
        ]
        layers[-1].build((None, size, size, 3))
        dataset = keras.utils.image_dataset_from_directory(
            folder,
            batch_size=settings.batch_size,
            image_size=(own.short_side, own.short_side),
            verbose=False,
        )

        def augment(images, labels):
            for layer in layers:
                images = layer(images)
            return images, labels

        self.dataset = dataset.map(augment, tf.data.AUTOTUNE).prefetch(2)

    def __call__(self):
        for _ in self.dataset:
            pass
