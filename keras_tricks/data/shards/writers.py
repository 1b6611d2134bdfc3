"""Writes labeled images as the shards that keras_tricks.data opens."""

import importlib
import importlib.util
import io
import os
import struct
import tarfile
from pathlib import PurePosixPath
from typing import TypeAlias

from keras_tricks import _backend
from keras_tricks.data.shards.example_proto import encode_example
from keras_tricks.data.shards.records import (
    FILENAME,
    IMAGE,
    LABEL,
    import_array_record,
    scan_array_record,
    scan_tfrecord,
)
from keras_tricks.data.shards.tar import scan_tar
from keras_tricks.data.transforms.decode import SUFFIXES, image_suffix


class _ExampleWriter:
    """A file of `tf.train.Example`s."""

    def __init__(self, path):
        self._records = self.open(path)

    def write(self, number, name, data, label):
        self._records.write(
            encode_example(
                {
                    IMAGE: data,
                    LABEL: label,
                    # The bytes of the name, whatever their encoding.
                    FILENAME: os.fsencode(name),
                }
            )
        )

    def close(self):
        self._records.close()


class TFRecordWriter(_ExampleWriter):
    """Writes a TFRecord file."""

    suffix, numbering = ".tfrecord", "{split}-{number:05d}-of-{count:05d}"
    scan = staticmethod(scan_tfrecord)

    @staticmethod
    def check():
        """Raise an ImportError if nothing makes the checksums."""
        if importlib.util.find_spec("tensorflow") is None:
            _import_crc32c()

    def open(self, path):
        """Return what writes records: TensorFlow, or a peer of it."""
        if importlib.util.find_spec("tensorflow") is None:
            return _Frames(path)
        return _backend.import_tensorflow_for_data().io.TFRecordWriter(path)


class ArrayRecordWriter(_ExampleWriter):
    """Writes an ArrayRecord file, each record a group of its own."""

    suffix, numbering = ".array_record", "{split}-{number:05d}-of-{count:05d}"
    scan = staticmethod(scan_array_record)

    @staticmethod
    def check():
        """Raise an ImportError if the package is missing."""
        import_array_record()

    def open(self, path):
        """Return what writes records; images are compressed already."""
        module = import_array_record()
        return module.ArrayRecordWriter(path, "group_size:1,uncompressed")


class TarWriter:
    """Writes a .tar file of the WebDataset kind, the same bytes every time."""

    suffix, numbering = ".tar", "{split}-{number:06d}"
    scan = staticmethod(scan_tar)

    def __init__(self, path):
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)

    @staticmethod
    def check():
        """Need nothing."""

    def write(self, number, name, data, label):
        """Add a sample, whose key is its number."""
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in SUFFIXES:
            suffix = image_suffix(data)
        for end, content in ((suffix, data), (".cls", b"%d" % label)):
            member = tarfile.TarInfo(f"{number:09d}{end}")
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))

    def close(self):
        """End the archive."""
        self._tar.close()


Writer: TypeAlias = TFRecordWriter | ArrayRecordWriter | TarWriter

WRITERS: dict[str, type[Writer]] = {
    "tfrecord": TFRecordWriter,
    "array_record": ArrayRecordWriter,
    "webdataset": TarWriter,
}


class _Frames:
    """A TFRecord file without TensorFlow."""

    def __init__(self, path):
        self._crc32c = _import_crc32c().value
        self._file = open(path, "wb")

    def write(self, data):
        length = struct.pack("<Q", len(data))
        for block in (length, data):
            self._file.write(block + self._masked(block))

    def close(self):
        self._file.close()

    def _masked(self, block):
        crc = self._crc32c(block)
        rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
        return struct.pack("<I", rotated & 0xFFFFFFFF)


def _import_crc32c():
    try:
        return importlib.import_module("google_crc32c")
    except ImportError as error:
        raise ImportError(
            "TFRecord files need TensorFlow or the package google-crc32c to "
            "be written: pip install 'keras_tricks[records]'"
        ) from error
