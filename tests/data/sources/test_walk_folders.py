"""One rule for which files of a folder are images of a data set."""

import os

import pytest
from PIL import Image, features

from keras_tricks.data import (
    inspect_images,
    open_folder_splits,
    open_image_files,
)
from keras_tricks.data.sources.load import load_npz
from keras_tricks.data.sources.walk_folders import walk_images
from keras_tricks.data.transforms import decode_image
from keras_tricks.data.transforms.decode import SUFFIXES, image_formats
from keras_tricks.report import verdicts


def hidden(root, elsewhere):
    for name in ("cat/.thumbnails", ".cache", "dog/deep/.x"):
        (root / name).mkdir(parents=True)
        (root / name / "9.png").write_bytes(b"")
    (root / "cat" / ".9.png").write_bytes(b"")
    return ["cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def linked_folder(root, elsewhere):
    (elsewhere / "more").mkdir(parents=True)
    (elsewhere / "3.png").write_bytes(b"")
    (elsewhere / "more" / "4.png").write_bytes(b"")
    (root / "bird").symlink_to(elsewhere)
    return [
        "bird/3.png",
        "bird/more/4.png",
        "cat/1.png",
        "dog/1.png",
        "dog/deep/2.JPG",
    ]


def linked_file(root, elsewhere):
    elsewhere.mkdir()
    (elsewhere / "3.png").write_bytes(b"")
    (root / "cat" / "0.png").symlink_to(elsewhere / "3.png")
    return ["cat/0.png", "cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def loops(root, elsewhere):
    elsewhere.mkdir()
    (elsewhere / "3.png").write_bytes(b"")
    (elsewhere / "again").symlink_to(elsewhere)
    (root / "bird").symlink_to(elsewhere)
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "deep" / "up").symlink_to(root / "dog")
    return [
        "bird/3.png",
        "cat/1.png",
        "dog/1.png",
        "dog/deep/2.JPG",
    ]


def own_name_wins(root, elsewhere):
    (root / "cat" / "a_dog").symlink_to(root / "dog")
    return ["cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def irregular(root, elsewhere):
    os.mkfifo(root / "cat" / "0.png")
    (root / "dog" / "0.png").symlink_to(root / "cat" / "0.png")
    (root / "dog" / "folder.png").mkdir()
    (root / "dog" / "folder.png" / "5.png").write_bytes(b"")
    (root / "cat" / "zero.png").symlink_to("/dev/zero")
    return ["cat/1.png", "dog/1.png", "dog/deep/2.JPG", "dog/folder.png/5.png"]


def broken_link(root, elsewhere):
    (root / "cat" / "0.png").symlink_to(elsewhere)
    return ["cat/0.png", "cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def link_to_itself(root, elsewhere):
    (root / "cat" / "again").symlink_to("again")
    (root / "cat" / "9.png").symlink_to("9.png")
    return ["cat/1.png", "cat/9.png", "dog/1.png", "dog/deep/2.JPG"]


CASES = {
    case.__name__: case
    for case in (
        hidden,
        linked_folder,
        linked_file,
        loops,
        own_name_wins,
        irregular,
        broken_link,
        link_to_itself,
    )
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("split", [False, True])
def test_training_and_evaluation_see_the_same_files(
    case, split, touch, tmp_path
):
    names = ("cat/1.png", "dog/1.png", "dog/deep/2.JPG", "dog/notes.txt")
    if not split:
        root = touch(*names)
        expected = CASES[case](root, tmp_path / "elsewhere")
        evaluated = open_image_files(root)
        train, test = open_folder_splits(root, test_share=0.5)
        assert sorted(train.names + test.names) == expected
        labels = dict(zip(train.names, train.labels, strict=True))
        labels |= dict(zip(test.names, test.labels, strict=True))
        assert [labels[name] for name in expected] == evaluated.labels.tolist()
    else:
        root = touch(*(f"val/{name}" for name in names))
        expected = CASES[case](root / "val", tmp_path / "elsewhere")
        touch(*(f"train/{name}" for name in (*expected, *names)))
        expected = [f"val/{name}" for name in expected]
        evaluated = open_image_files(root)
        _, test = open_folder_splits(root)
        assert list(test.names) == expected
        assert test.labels.tolist() == evaluated.labels.tolist()
    assert list(evaluated.names) == expected
    found = walk_images(str(root), "val" if split else "")
    assert list(found.names) == expected


def test_all_that_is_read_is_found_by_name_or_content(tmp_path, capsys):
    image = Image.new("RGB", (9, 8), (200, 10, 10))
    for folder in ("cat", "dog"):
        (tmp_path / folder).mkdir()
    readable = [s for s, kind in SUFFIXES.items() if kind in image_formats()]
    assert {".jfif", ".jpe", ".pgm", ".webp"} <= {*readable}
    for suffix in readable:
        if SUFFIXES[suffix] != "HEIF":
            image.save(tmp_path / f"cat/a{suffix.upper()}", SUFFIXES[suffix])
    image.save(tmp_path / "cat/no_suffix", "jpeg")
    image.save(tmp_path / "cat/a.txt", "png")
    image.save(tmp_path / "dog/1.dat", "gif")
    image.save(tmp_path / "dog/a.eps")
    # Decoders take these for their own at first.
    for name, text in {
        "dog/1.txt": "P1 is no image",
        "dog/2.txt": "BMW",
        "dog/empty": "",
        "dog/.3.png": "",
    }.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "dog/pipe.png")
    (tmp_path / "dog/lost").symlink_to("nowhere")
    (tmp_path / "dog/loop").symlink_to(tmp_path)
    left_out = {
        "dog/.3.png": "hidden",
        "dog/1.txt": "no image",
        "dog/2.txt": "no image",
        "dog/a.eps": "no image",
        "dog/empty": "no image",
        "dog/loop": "there under another name",
        "dog/lost": "a link to nowhere",
        "dog/pipe.png": "no regular file",
    }
    names = {path.name for path in (tmp_path / "cat").iterdir()}
    files = open_image_files(tmp_path)
    assert files.names == (*sorted(f"cat/{n}" for n in names), "dog/1.dat")
    assert files.left_out == left_out and files.take(2).left_out == left_out
    told = capsys.readouterr().err
    assert told.startswith(f"Left out of {tmp_path}: 1 hidden (dog/.3.png), ")
    assert "4 no image (dog/1.txt, dog/2.txt, dog/a.eps, ...)" in told
    assert all(files[i].shape == (8, 9, 3) for i in range(len(files)))
    train, test = open_folder_splits(tmp_path)
    assert sorted(train.names + test.names) == list(files.names)
    assert capsys.readouterr().err == told
    report = inspect_images({"train": train, "test": test})
    assert report.to_dict()["left_out"] == left_out
    assert verdicts(report)[:2] == [
        "Every record can be used.",
        told.strip().replace(f" of {tmp_path}", "") + ".",
    ]


def test_a_format_without_its_decoder_is_left_out(touch, monkeypatch):
    some = [name for name in features.get_supported() if name != "avif"]
    monkeypatch.setattr(features, "get_supported", lambda: some)
    image_formats.cache_clear()
    try:
        found = walk_images(str(touch("cat/1.avif", "cat/2.jpg")))
    finally:
        image_formats.cache_clear()
    assert found.names == ("cat/2.jpg",)
    assert found.left_out == {
        "cat/1.avif": "of AVIF, which Pillow cannot decode"
    }


def test_a_folder_that_cannot_be_read_is_an_error(touch, monkeypatch):
    root, scandir = (
        touch("cat/1.png", "cat/deep/2.png", "dog/1.png"),
        os.scandir,
    )

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for listed in (open_image_files, open_folder_splits):
        with pytest.raises(ValueError, match=r"read. .*cat/deep \(Permission"):
            listed(root)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    message = "1.png: .*not a regular file"
    with pytest.raises(ValueError, match=message):
        open_image_files([tmp_path / "1.png"]).read(0)
    with pytest.raises(ValueError, match=message):
        decode_image(tmp_path / "1.png")
    with pytest.raises(ValueError, match="npz of plain arrays: .*not a regul"):
        load_npz(tmp_path / "1.png")
