import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Eight images of four classes and several sizes, one of them damaged."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(9):
        path = folder / f"k{number % 4}_{number}.png"
        pixels = rng.integers(0, 256, (20 + number, 30, 3), dtype="uint8")
        Image.fromarray(pixels).save(path)
    path.write_bytes(b"damaged")
    lines = [f"{i}\tk{i}\tname {i}" for i in range(4)]
    (folder / "classes.tsv").write_text("\n".join(lines))
    return folder
