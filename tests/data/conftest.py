import pytest


@pytest.fixture
def touch(tmp_path):
    """A function that makes empty files in a folder called `root`."""

    root = tmp_path / "root"
    root.mkdir()

    def make(*names):
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        return root

    return make
