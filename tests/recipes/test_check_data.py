"""recipes/check_data.py and recipes/show_batch.py as processes."""

import csv
import json

from PIL import Image

from ..data.damaged_images import damaged_folder, unreadable


def test_a_damaged_folder(run_script, tmp_path):
    damaged_folder(tmp_path / "data")
    arguments = [
        f"--data_dir={tmp_path / 'data'}",
        f"--out_dir={tmp_path / 'deep' / 'out'}",
    ]
    done = run_script("check_data.py", *arguments, "--noverbose")
    assert done.returncode == 1, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert "train              72 of 80 records: 66 JPEG, 5 PNG, 1 GIF" in lines
    assert any(line.startswith("8 of 80 train records") for line in lines)
    assert len(done.errors) == 6
    assert done.errors[0].startswith("Cannot be used: train/dog/cut.jpg: cut")
    out = tmp_path / "deep" / "out"
    text = (out / "bad_records.tsv").read_text()
    rows = csv.DictReader(text.splitlines(), dialect="excel-tab")
    assert {row["name"] for row in rows} == {
        f"train/dog/{name}" for name in unreadable()
    }
    content = json.loads((out / "data.json").read_text())
    assert len(content["bad"]) == 8
    assert (out / "report.html").stat().st_size > 10_000
    done = run_script("check_data.py", *arguments, "--max_bad_records=8")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "92/92" in done.stderr and "92/92" not in done.stdout


def test_a_mistake_is_told_in_one_line(run_script, tmp_path):
    for name in ("train/a/0.png", "val/b/0.png"):
        path = tmp_path / "holes" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    (tmp_path / "holes/train/b").mkdir()
    done = run_script(
        "check_data.py",
        f"--data_dir={tmp_path / 'holes'}",
        f"--out_dir={tmp_path / 'out'}",
    )
    assert done.returncode == 1 and not done.stdout
    (line,) = done.errors
    assert line.startswith("ValueError: Class folders ")
    assert "holes/train/b" in line and "holes/val/a" in line


def test_a_batch_is_drawn(run_script, tmp_path):
    flagfile = tmp_path / "my.flags"
    flagfile.write_text("--batch_size=32\n--train_samples=64\n")
    out = tmp_path / "deep" / "batch.png"
    arguments = [f"--flagfile={flagfile}", f"--out={out}", "--rows=3"]
    done = run_script("show_batch.py", *arguments, "--epoch=2", "--step=1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == (
        f"3 of the images of digits, epoch 2, step 1: {out}\n"
    )
    with Image.open(out) as image:
        assert image.width > 500
