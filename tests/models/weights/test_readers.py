"""Kinds of files: what they contain decides, not their names."""

import argparse
import collections
import json
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_tricks.models import ResNet, load_weights_from, save_weights_as

OPTIONS = {"num_classes": 4, "width": 2, "input_shape": (32, 32, 3)}


@pytest.fixture(scope="module")
def model():
    return ResNet(18, "D", **OPTIONS)


@pytest.fixture(scope="module")
def state(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("state") / "state.npz"
    return dict(np.load(save_weights_as(model, path)))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="it writes these files")


@pytest.fixture(scope="module")
def tensors(state, torch):
    return {name: torch.from_numpy(value) for name, value in state.items()}


def refused(model, path, message, **options):
    with pytest.raises(ValueError, match=message) as error:
        load_weights_from(model, path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file$"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n",
            "a pointer of git-lfs",
        ),
        (b"\n <!DOCTYPE html><html>404</html>", "a web page"),
        (b"<html>Sign in</html>", "a web page"),
        (b"{'layer': 1}", "which begins with b\"{'layer'\"$"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "which begins with b'.x89PNG"),
        (b"PK\x03\x04" + bytes(99), "an archive that is cut short$"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "which is damaged: "),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_no_weights_at_all(content, message, name, model, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    text = refused(model, path, message)
    assert text.startswith("`source` must be a whole .safetensors, .pth")
    assert str(path) in text


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
@pytest.mark.parametrize("part", [0.3, 0.99])
def test_cut_short(suffix, part, model, tmp_path):
    if suffix == ".pth":
        pytest.importorskip("torch", reason="it writes these files")
    path = save_weights_as(model, tmp_path / f"w{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refused(model, path, "(is cut short|is damaged: .*)$")


def test_a_file_that_is_not_there(model):
    message = "`source` must be a file, a folder, a name on the hub such as"
    for source in ("weights/resnet18.pth", "w.pth", "", 3, None):
        assert repr(source) in refused(model, source, message)


def test_archives_of_other_things(model, tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    refused(model, tmp_path / "objects.npz", "damaged: a.npy holds objects")
    with zipfile.ZipFile(tmp_path / "letters.npz", "w") as archive:
        archive.writestr("letter.txt", "Dear model,")
    refused(model, tmp_path / "letters.npz", "an archive of letter.txt")


def test_a_folder(model, state, tmp_path):
    refused(model, tmp_path, "must have one of the files model.safetensors")
    save_weights_as(model, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "architecture": "resnet18d",
                "pretrained_cfg": {
                    "input_size": [3, 32, 32],
                    "crop_pct": 0.95,
                    "interpolation": "bicubic",
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                },
            }
        )
    )
    report = load_weights_from(model, tmp_path)
    assert report.source == str(tmp_path)
    assert report.preprocessing.short_side == 33
    assert report.preprocessing.interpolation == "bicubic"
    (tmp_path / "config.json").write_text("{")
    refused(model, tmp_path, "a config.json that is JSON")


def test_h5_of_keras_applications(tmp_path):
    h5py = pytest.importorskip("h5py", reason="it writes these files")
    from keras_tricks.models.weights.readers import read_tensors

    for name, where in (("weights.h5", ""), ("model.h5", "model_weights/")):
        with h5py.File(tmp_path / name, "w") as file:
            file[f"{where}conv1/conv1/kernel:0"] = np.ones((3, 3, 3, 8))
            file[f"{where}conv_dw_1/conv_dw_1/depthwise_kernel:0"] = np.ones(2)
            if where:
                file["optimizer_weights/iterations:0"] = 3
        tensors, key = read_tensors(tmp_path / name)
        assert set(tensors) == {"conv1/kernel", "conv_dw_1/kernel"}
        assert tensors["conv1/kernel"].shape == (3, 3, 3, 8)
        assert key is None


def new_zip(torch, content, path):
    torch.save(content, path)


def old_pickle(torch, content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [new_zip, old_pickle])
@pytest.mark.parametrize(
    ("wrap", "key"),
    [
        (lambda t: t, None),
        (collections.OrderedDict, None),
        (lambda t: {"model": t, "epoch": 3}, "model"),
        (lambda t: {"state_dict": t, "model": {}}, "state_dict"),
        (
            lambda t: {
                "state_dict": {},
                "state_dict_ema": t,
                "args": argparse.Namespace(lr=0.1),
                "arch": "resnet18d",
            },
            "state_dict_ema",
        ),
    ],
)
def test_pth(save, wrap, key, model, tensors, torch, tmp_path):
    save(torch, wrap(tensors), tmp_path / "w.pth")
    report = load_weights_from(model, tmp_path / "w.pth")
    assert (report.tensors, report.key) == (len(tensors), key)
    assert (key is None) or f"w.pth:{key}" in str(report)


def test_prefixes(model, tensors, torch, tmp_path):
    for prefix in ("module.", "_orig_mod.", "model.", "module._orig_mod."):
        state = {prefix + name: value for name, value in tensors.items()}
        state["n_averaged"] = torch.tensor(7)
        torch.save({"model_ema": state}, tmp_path / "w.pth")
        report = load_weights_from(model, tmp_path / "w.pth")
        assert report.tensors == len(tensors)


def test_key(model, tensors, torch, tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"student": tensors, "teacher": {}, "epoch": 3}, path)
    refused(model, path, "with student, teacher, epoch beside the tensors")
    assert load_weights_from(model, path, key="student").key == "student"
    refused(model, path, "`key` must be that .* epoch. Re.*'x'", key="x")
    path = save_weights_as(model, tmp_path / "w.npz")
    refused(model, path, "`key` must be None for", key="student")


class Code:
    """A pickle of it runs a function."""

    def __reduce__(self):
        return sys.exit, ("the file was run",)


def test_pickles_with_code_are_not_run(model, tensors, torch, tmp_path):
    for save in (new_zip, old_pickle):
        save(torch, {**tensors, "code": Code()}, tmp_path / "w.pth")
        refused(model, tmp_path / "w.pth", "could run code: save its state_d")


def test_other_contents(model, tensors, torch, tmp_path):
    path = tmp_path / "w.pth"
    torch.save([1, 2], path)
    refused(model, path, "which holds a list")
    torch.save({}, path)
    refused(model, path, "which holds no tensors")
    torch.save({**tensors, "bn1.bias": torch.ones(2).to_sparse()}, path)
    refused(model, path, "with 'bn1.bias' sparse or quantized")


def test_bfloat16_of_torch(model, tensors, torch, tmp_path):
    half = {name: value.bfloat16() for name, value in tensors.items()}
    torch.save(half, tmp_path / "w.pth")
    report = load_weights_from(model, tmp_path / "w.pth")
    assert report.converted == ("bfloat16",)


@pytest.mark.parametrize(
    ("module", "suffix", "extra"),
    [("torch", ".pth", "torch"), ("safetensors", ".safetensors", "weights")],
)
def test_missing_packages(module, suffix, extra, model, tmp_path, monkeypatch):
    if module == keras.backend.backend():
        pytest.skip("it is the backend")
    path = save_weights_as(model, tmp_path / f"w{suffix}")
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"{suffix} files need `pip install \"keras_tricks\[{extra}\]"
    with pytest.raises(ImportError, match=message):
        load_weights_from(model, path)
    monkeypatch.setitem(sys.modules, f"{module}.numpy", None)
    with pytest.raises(ImportError, match=message):
        save_weights_as(model, path)
