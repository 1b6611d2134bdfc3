"""Files that declare what they do not hold: refused before memory is taken.

Each lies about terabytes, so that a test whose check is missing fails in a
moment, by a `MemoryError` or by what it read.
"""

import io
import json
import tarfile
import zipfile

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_tricks import _untrusted
from keras_tricks.callbacks import ExponentialMovingAverage
from keras_tricks.data import ClassNames, Preprocessing, open_tar_shards
from keras_tricks.data.shards.index import INDEX_FILE, index_content
from keras_tricks.data.sources.load import load_npz
from keras_tricks.data.transforms import decode_image
from keras_tricks.data.transforms.jpeg_header import read_jpeg_header
from keras_tricks.models.weights.readers import read_tensors
from keras_tricks.recipe import Recipe

NAME = "layer/layer/kernel:0"


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


def array(shape, data=b"", dtype="<f4"):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def declared(path):
    archive(path, x_train=array((2**40,), b"1234"))


def with_objects(path):
    np.savez(path, x=np.array([{}], object))


def negative(path):
    archive(path, x=array((-1, -4), bytes(16)))


def twice(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x.npy", array((1,), bytes(4)))
            file.writestr("x.npy", array((1,), bytes(4)))


def lying_directory(path):
    """The entry of the archive's list says more than deflate can make."""
    archive(path, x=array((1,), bytes(4)))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(content)


NPZ = {
    declared: "x_train.npy declares 4398046511104 bytes and holds 4",
    with_objects: "x.npy holds objects",
    negative: "x.npy declares",
    twice: "x.npy is there twice",
    lying_directory: "x.npy declares 4294967294 bytes and holds",
}


@pytest.mark.parametrize("read", [read_tensors, load_npz])
@pytest.mark.parametrize("make", NPZ)
def test_arrays_in_an_archive(make, read, tmp_path):
    path = tmp_path / "a.npz"
    make(path)
    with pytest.raises(ValueError, match=NPZ[make]) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_more_than_the_memory_that_is_free(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(100_000, "float32"))
    assert _untrusted.free_memory() > 400_000
    assert len(read_tensors(path)[0]["x"]) == 100_000
    monkeypatch.setattr(_untrusted, "free_memory", lambda: 400_000)
    with pytest.raises(ValueError, match="takes 0.0004 GB of memory, of which"):
        read_tensors(path)


def test_the_average(tmp_path):
    path = tmp_path / "average.npz"
    archive(path, average_0=array((2**40,), b"1234"))
    with pytest.raises(ValueError, match="declares 4398046511104"):
        ExponentialMovingAverage().load(path)


def unstored(file, source):
    file.create_dataset(NAME, (10**12,), "f4")


def unstored_pieces(file, source):
    file.create_dataset(NAME, (10**12,), "f4", chunks=(2**20,))


def external(file, source):
    file.create_dataset(NAME, (4,), "u1", external=[(source, 0, 4)])


def virtual(file, source):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(source, "/secret", (4,))
    file.create_virtual_dataset(NAME, layout)


def external_link(file, source):
    file["model_weights"] = h5py.ExternalLink(source, "/")


def soft_link(file, source):
    file["a"] = h5py.SoftLink("/b")


def circle(file, source):
    file.create_group("a")["b"] = file["/"]


def text(file, source):
    file[NAME] = "text"


HDF5 = {
    unstored: "kernel:0 declares 4000000000000 bytes, holds 0",
    unstored_pieces: "kernel:0 declares 4000000000000 bytes, holds 0",
    external: "kernel:0 is kept in another file",
    virtual: "kernel:0 is kept in another file",
    external_link: "model_weights is a link to somewhere else",
    soft_link: "a is a link to somewhere else",
    circle: "a/b is there under several names",
    text: "kernel:0 is no array of numbers",
}


@pytest.mark.parametrize("make", HDF5)
def test_arrays_of_hdf5(make, tmp_path):
    source = tmp_path / "secret.h5"
    with h5py.File(source, "w") as file:
        file["secret"] = np.arange(4.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file, str(source))
    with pytest.raises(ValueError, match=HDF5[make]):
        read_tensors(tmp_path / "a.h5")


@pytest.mark.parametrize("make", [external, virtual, unstored])
def test_weights_in_a_saved_model(make, tmp_path):
    path = tmp_path / "model.keras"
    layers = [keras.Input((2,)), keras.layers.Dense(1)]
    keras.Sequential(layers).save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        make(file, str(tmp_path / "weights.h5"))
    parts["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match=HDF5[make]):
        _untrusted.load_model(path)


class Bytearray:
    def __reduce__(self):
        return bytearray, (10**12,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_fills_the_memory(zipped, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    content = {"w": torch.zeros(2), "z": Bytearray()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="whose pickle holds more"):
        read_tensors(path)


def test_a_tensor_that_has_changed(tmp_path):
    """PyTorch reads it without a word."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    torch.save({"w": torch.full((100,), 1.5)}, path)
    assert read_tensors(path)[0]["w"][50] == 1.5
    content = bytearray(path.read_bytes())
    content[content.index(np.full(100, 1.5, "float32").tobytes()) + 201] ^= 1
    path.write_bytes(content)
    assert torch.load(path)["w"][50] != 1.5
    with pytest.raises(ValueError, match="a.pth', which is damaged: .*/data/0"):
        read_tensors(path)


def test_names_in_an_archive_are_shown_in_one_line(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("\x1b[31mred\nline", "")
    with pytest.raises(ValueError, match="an archive of .x1b.31mred.nline$"):
        read_tensors(path)


def test_a_tensor_that_repeats_one_number(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(1).expand(10**12)}, tmp_path / "a.pth")
    message = "'w' that declares 4000000000000 bytes and holds 4"
    with pytest.raises(ValueError, match=message):
        read_tensors(tmp_path / "a.pth")


def member(name, size, kind=tarfile.REGTYPE, data=b""):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def sparse(name):
    header = bytearray(member(name, 1, tarfile.GNUTYPE_SPARSE))
    header[386:398] = b"%011o" % 0 + b"\0"
    header[398:410] = b"%011o" % 1 + b"\0"
    header[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"1" + bytes(511)


GOOD = member("a.jpg", 5, data=b"image") + member("a.cls", 1, data=b"1")
TARS = {
    "negative": (member("b.jpg", -512), "b.jpg is said to have -512 bytes"),
    "past the end": (member("b.jpg", 2**40), "b.jpg is said to have 10995"),
    "sparse label": (sparse("b.cls"), "b.cls is sparse"),
    "sparse image": (sparse("b.jpg"), "b.jpg is sparse"),
    "long name": (
        member("b", 2**60, tarfile.GNUTYPE_LONGNAME, b"name"),
        "is cut or no .tar, or compressed .MemoryError",
    ),
    "pax": (
        member("b", 2**60, tarfile.XHDTYPE, b"12 size=-99\n"),
        "is cut or no .tar, or compressed .MemoryError",
    ),
    "nested label": (
        member("b.json", 100_009, data=b'{"label":' + b"[" * 100_000)
        + member("b.jpg", 1, data=b"1"),
        "Received: b without label",
    ),
}


@pytest.mark.parametrize("name", TARS)
def test_members_of_a_tar(name, tmp_path):
    content, message = TARS[name]
    path = tmp_path / "train.tar"
    path.write_bytes(GOOD + content + bytes(1024))
    with pytest.raises(ValueError, match=message) as caught:
        open_tar_shards(path, ClassNames(("a", "b")))
    assert str(path) in str(caught.value)


def index(tmp_path, **changes):
    """An index of a .tar of one sample, with changes."""
    path = tmp_path / "train.tar"
    path.write_bytes(GOOD + bytes(1024))
    rows = [np.array([512]), np.array([5]), np.array([1])]
    content = index_content([path.name], [path.stat().st_size], [rows])
    np.savez(tmp_path / INDEX_FILE, **{**content, **changes})
    return open_tar_shards(path, ClassNames(("a", "b")))


@pytest.mark.parametrize(
    "name, values, message",
    [
        ("offset", [-1], "record 0 of .*train.tar, which is outside"),
        ("length", [2**50], "record 0 of .*train.tar, which is outside"),
        ("length", [-1], "record 0 of .*train.tar, which is outside"),
        ("length", [5.0], "length is no list of integers"),
        ("label", [2**31], "label has a number out of range"),
        ("shard", [1], "shards out of order"),
        ("shard", [-1], "shards out of order"),
    ],
)
def test_an_index(name, values, message, tmp_path):
    assert index(tmp_path).record(0) == (b"image", 1)
    with pytest.raises(ValueError, match=message):
        index(tmp_path, **{name: np.array(values)})


def test_an_image_that_starts_a_program():
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "eps")
    with pytest.raises(ValueError, match="^1.png: no image of a known format"):
        decode_image(file.getvalue(), "1.png")


def test_a_jpeg_that_says_it_is_huge():
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "jpeg")
    data = file.getvalue()
    place = data.index(b"\xff\xc0") + 5
    data = data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :]
    # So that no engine decodes it on its own.
    assert read_jpeg_header(data) is None
    with pytest.raises(ValueError, match="1.jpg: Image size .4294836225"):
        decode_image(data, "1.jpg")


@pytest.mark.parametrize(
    "field", ["image_size", "width", "workers", "epochs", "seed"]
)
def test_a_flag_beyond_all_measure(field):
    message = f"^`{field}` must be an integer from . to .* Received: {field}=1"
    with pytest.raises(ValueError, match=message):
        Recipe(**{field: 10**15})


def test_a_short_side_beyond_all_measure():
    with pytest.raises(ValueError, match="`crop_ratio` must be such that"):
        Preprocessing(224, crop_ratio=1e-300)


def test_json_that_is_nested_too_deeply():
    with pytest.raises(ValueError, match="nested too deeply"):
        Recipe.from_json("[" * 100_000)
    assert _untrusted.parse_json(json.dumps({"a": [1]})) == {"a": [1]}
