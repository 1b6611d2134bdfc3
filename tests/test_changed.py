"""`make check` chooses the tests that a change concerns."""

import pytest

from . import changed


@pytest.mark.parametrize(
    ("path", "near", "other"),
    [
        ("tests/losses/test_losses.py", "losses/test_losses.py", "metrics"),
        ("tests/data/damaged_images.py", "data/inspection", "losses"),
        ("tests/surgery/conftest.py", "surgery/test_variant.py", "losses"),
        ("docs/api.md", "test_docs.py", "losses"),
        ("recipes/launch.py", "recipes/test_launch.py", "losses"),
        # The folder, an import of what it defines, and of who imports it.
        ("keras_tricks/layers/mix_up.py", "layers/test_residual", "report"),
        ("keras_tricks/layers/mix_up.py", "distillation/test_off", "report"),
        ("keras_tricks/schedules/warmup.py", "test_composition.py", "data"),
        ("keras_tricks/_checks.py", "data/sources", "test_docs.py"),
    ],
)
def test_the_tests_of_a_change(path, near, other):
    chosen, _ = changed.choose([changed.ROOT / path])
    names = [str(file.relative_to(changed.TESTS)) for file in chosen]
    assert any(name.startswith(near) for name in names), names
    assert not any(name.startswith(other) for name in names), names


def test_the_nearest_come_first_and_the_others_are_counted():
    paths = [changed.PACKAGE / "layers" / "mix_up.py"]
    chosen, left_out = changed.choose(paths)
    fewer, more_left_out = changed.choose(paths, most=8)
    assert left_out == 0
    assert fewer == chosen[: max(8, len(changed.own_tests(paths[0])))]
    assert more_left_out == len(chosen) - len(fewer) > 0


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        ("from keras_tricks.layers import MixUp", True),
        ("from keras_tricks.layers.mix_up import _draw", True),
        ("from keras_tricks import layers\nlayers.MixUp()", True),
        ("import keras_tricks\nkeras_tricks.layers.MixUp()", True),
        ("from keras_tricks.layers import DropPath", False),
        ("import keras\nkeras.layers.MixUp()", False),
    ],
)
def test_who_uses_a_module(code, uses, tmp_path):
    file = tmp_path / "file.py"
    file.write_text(code)
    module = changed.PACKAGE / "layers" / "mix_up.py"
    assert changed.importers(module, [file]) == [file] * uses
