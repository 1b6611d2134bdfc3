"""recipes/make_records.py as a process that is used, killed and started."""

import os
import subprocess
import sys

import keras
import numpy as np
from PIL import Image

from keras_tricks.data import open_folder_splits, open_tar_shards

# The script, which ends without a word once it has finished two shards; no
# other thread finishes one in between.
KILLED = """
import os, runpy, sys, threading
sys.path.insert(0, "recipes")
replace, done, turn = os.replace, [], threading.Lock()
def counted(source, target):
    with turn:
        replace(source, target)
        done.append(target)
        if len([path for path in done if str(path).endswith(".tar")]) == 2:
            os._exit(9)
os.replace = counted
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_killed_run_continues(run_script, tmp_path):
    root, out = tmp_path / "images", tmp_path / "out"
    rng = np.random.default_rng(0)
    for i in range(20):
        path = root / "ant bee".split()[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (6, 5, 3), dtype="uint8")
        Image.fromarray(pixels).save(path)
    (root / "ant" / "bad.png").write_bytes(b"damaged")
    arguments = [
        f"--data_dir={root}",
        f"--out_dir={out}",
        "--format=webdataset",
        "--shards=4",
        "--max_bad_records=1",
        "--max_side=4",
        "--quality=95",
        "--verify",
        "--noverbose",
    ]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "recipes/make_records.py", *arguments],
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == 9, killed.stderr[-2000:]
    assert not (out / "index.npz").exists()
    done = run_script("make_records.py", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    first, resized, second = done.stdout.splitlines()
    assert resized == "Resized: 20 images, from 0.0 to 0.0 MB"
    assert first.startswith(f"{out}: 20 images in 5 shards of ")
    assert first.endswith(", 2 of them kept")
    assert second == (
        "Verified: 20 records are the bytes of their files, 20 of them after "
        "the same resize"
    )
    for split, files in zip(
        ("train", "test"), open_folder_splits(root), strict=True
    ):
        bad = "ant/bad.png" in files.names
        assert len(open_tar_shards(out, split=split)) == len(files) - bad
    assert done.errors == ["Left out: ant/bad.png: no image of a known format"]


def test_a_mistake_ends_the_script_with_one_line(run_script, tmp_path):
    done = run_script(
        "make_records.py",
        f"--data_dir={tmp_path / 'nothere'}",
        f"--out_dir={tmp_path / 'out'}",
    )
    assert done.returncode == 1 and not done.stdout
    (line,) = done.errors
    assert line.startswith("FileNotFoundError: `data_dir` must be an existing")
