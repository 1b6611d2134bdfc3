"""The documentation's code runs, and it names what there is."""

import configparser
import re
from inspect import ismodule
from pathlib import Path

import keras
import pytest

import keras_tricks
from keras_tricks import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    """Python code of a page that this backend can run."""
    for which, code in FENCE.findall(page.read_text("utf-8")):
        if which.strip() in ("", keras.backend.backend()):
            yield code


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if any(blocks(page))
    ],
)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "docs"}
    for code in blocks(page):
        exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES]
)
def test_links_to_files_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def public_names():
    rooms = [getattr(keras_tricks, name) for name in keras_tricks.__all__]
    for room in [*rooms, keras_tricks.data.transforms]:
        for name, value in vars(room).items() if ismodule(room) else ():
            if not name.startswith("_") and not ismodule(value):
                yield name


def test_the_api_page_is_complete():
    page = (ROOT / "docs/api.md").read_text("utf-8")
    variants = re.compile(r"ResNet\d+[A-D]")
    missing = [
        name
        for name in public_names()
        if f"`{name}`" not in page and not variants.fullmatch(name)
    ]
    assert missing == []


def shell(page):
    """Lines of a page that call recipes, without what is before, and flags."""
    text = page.read_text().replace("\\\n", " ")
    code = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    # Behind the name of the script: other programs have flags too.
    lines = re.findall(r"(?:recipes/|keras-tricks )(.*)", code)
    return [*lines, *re.findall(r"`(--[^`]*)`", text)]


def test_the_flags_of_the_documentation_exist():
    scripts = (ROOT / "recipes").glob("*.py")
    flags = set(keras_tricks.Recipe.__dataclass_fields__)
    flags |= {"preset", "flagfile", "help"}
    for script in scripts:
        flags |= set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', script.read_text()))
    for page in PAGES:
        named = set(re.findall(r"--(\w+)", " ".join(shell(page))))
        assert named <= flags, page


def test_the_commands_of_the_documentation_exist():
    for page in PAGES:
        pattern = r"keras-tricks (?:launch -n \d+ )?([a-z][a-z-]*)"
        named = set(re.findall(pattern, page.read_text()))
        assert named <= set(cli.COMMANDS), page
    assert "train" in re.findall(pattern, PAGES[0].read_text())


def test_the_flagfiles_of_the_documentation_exist():
    code = "\n".join(line for page in PAGES for line in shell(page))
    names = set(re.findall(r"--flagfile=([^\s`]+)", code)) - {"FILE"}
    assert names
    for name in names:
        own = ROOT / "recipes" / "flags" / f"{name}.flags"
        assert own.exists() or (ROOT / name).exists(), name


def test_the_extras_that_docs_and_errors_name_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    code = [*(ROOT / "keras_tricks").rglob("*.py"), *ROOT.glob("recipes/*.py")]
    named = set()
    for path in [*PAGES, *code]:
        for extras in re.findall(
            r"(?:keras_tricks|\"\.)\[([a-z_,]+)\]", path.read_text("utf-8")
        ):
            named |= set(extras.split(","))
    assert {"tensorflow", "report", "data", "records"} <= named
    assert named <= set(setup["options.extras_require"])
