"""Weights by their names on the hub, out of a cache in the hub's layout."""

import hashlib
import json
import sys

import pytest

from keras_tricks.models import ResNet, load_weights_from, save_weights_as
from keras_tricks.models.weights._source import preprocessing_from_timm

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="it owns the cache"
)
constants = pytest.importorskip("huggingface_hub.constants")
errors = pytest.importorskip("huggingface_hub.errors")

NAME = "timm/resnet18d.ra2_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {
    "architecture": "resnet18d",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "crop_pct": 0.875,
        "test_crop_pct": 0.95,
        "interpolation": "bicubic",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def resnet(size=32):
    return ResNet(18, "D", num_classes=4, width=2, input_shape=(size, size, 3))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and no network; a function that puts files into it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / f"models--{NAME.replace('/', '--')}"

    def put(filename, content):
        if len(content) > 10_000:
            blob = hashlib.sha256(content).hexdigest()
        else:
            head = f"blob {len(content)}\0".encode()
            blob = hashlib.sha1(head + content).hexdigest()
        for name in ("blobs", "refs", f"snapshots/{COMMIT}"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "refs/main").write_text(COMMIT)
        (folder / "blobs" / blob).write_bytes(content)
        link = folder / "snapshots" / COMMIT / filename
        link.symlink_to(folder / "blobs" / blob)
        return folder / "blobs" / blob

    return put


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    return save_weights_as(resnet(), path).read_bytes()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, (288, 303)),
        (288, (288, 303)),
        (224, (224, 256)),
        (32, (224, 256)),
    ],
)
def test_from_the_cache(size, expected, cache, weights):
    cache("model.safetensors", weights)
    cache("config.json", json.dumps(CONFIG).encode())
    model = resnet(size)
    report = load_weights_from(model, NAME)
    assert report.source == f"{NAME}@{COMMIT}"
    preprocessing = report.preprocessing
    assert (preprocessing.image_size, preprocessing.short_side) == expected
    assert preprocessing.interpolation == "bicubic"
    assert preprocessing.mean == pytest.approx((123.675, 116.28, 103.53))
    assert preprocessing.std == pytest.approx((58.395, 57.12, 57.375))
    assert model.preprocessing == preprocessing


def test_revision_and_prefix(cache, weights):
    cache("model.safetensors", weights)
    cache("config.json", json.dumps(CONFIG["pretrained_cfg"]).encode())
    for source in (f"{NAME}@{COMMIT}", f"hf-hub:{NAME}@main"):
        report = load_weights_from(resnet(), source)
        assert report.source == source
        assert report.preprocessing.image_size == 224


def test_old_file_name(cache, weights):
    cache("pytorch_model.bin", weights)
    cache("config.json", b"{}")
    report = load_weights_from(resnet(), NAME)
    assert report.preprocessing is None


def test_squashed_images_are_no_preprocessing(cache, weights):
    cache("model.safetensors", weights)
    squash = {**CONFIG["pretrained_cfg"], "crop_mode": "squash"}
    cache("config.json", json.dumps(squash).encode())
    assert load_weights_from(resnet(), NAME).preprocessing is None


def test_offline(cache, weights):
    message = "must be in the cache when the hub cannot be reached. Received: "
    with pytest.raises(ConnectionError, match=message + f"source='{NAME}'"):
        load_weights_from(resnet(), NAME)
    cache("model.safetensors", weights)
    with pytest.raises(ConnectionError, match=message):
        load_weights_from(resnet(), NAME)


@pytest.mark.parametrize("filename", ["model.safetensors", "config.json"])
def test_damaged(filename, cache, weights):
    blobs = {
        "model.safetensors": cache("model.safetensors", weights),
        "config.json": cache("config.json", json.dumps(CONFIG).encode()),
    }
    content = blobs[filename].read_bytes()
    blobs[filename].write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match="must be undamaged in the cache: del"):
        load_weights_from(resnet(), NAME)


def answer(error):
    """An answer of the hub of this class, whatever it needs to be made."""
    return error.__new__(error)


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        ("RepositoryNotFoundError", ValueError, "to which you have access"),
        ("GatedRepoError", ValueError, "to which you have access"),
        ("RevisionNotFoundError", ValueError, "to which you have access"),
        ("EntryNotFoundError", ValueError, "one of the files model.saf"),
        ("HfHubHTTPError", ConnectionError, "not be downloaded .*HfHubHTTPE"),
        ("OfAnyLibrary", ConnectionError, "not be downloaded .*LookupError"),
    ],
)
def test_answers(error, expected, message, monkeypatch):
    def download(*args, **kwargs):
        raise answer(getattr(errors, error, LookupError))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(expected, match=message) as caught:
        load_weights_from(resnet(), NAME)
    assert "\n" not in str(caught.value)


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"need `pip .*keras_tricks\[weights"):
        load_weights_from(resnet(), NAME)


def test_the_shape_of_the_images_may_be_no_square():
    config = {**CONFIG["pretrained_cfg"], "test_input_size": [3, 224, 320]}
    own = preprocessing_from_timm(config, (None, None))
    # Both sides over the ratio of 0.95, rounded down.
    assert own.image_size == (224, 320) and own.covered == (235, 336)
    assert preprocessing_from_timm(config, (224, 320)) == own
    assert preprocessing_from_timm(config, (224, 224)).image_size == 224
