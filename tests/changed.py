"""Prints the tests of what changed against main, for `make check`.

Nearest first: those of the same folder, those that import what a changed file
defines, and those of the modules that import it. Where this gets too much for
a quick answer, the farther ones are left out, which it says.
"""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_tricks"
TESTS = ROOT / "tests"
MOST = 30
# Several processes each: only for what stands in the same room.
SLOW = {TESTS / "distribute", TESTS / "recipes"}


def changed_files(base="main"):
    """Lists files that differ from the base, new ones among them."""
    commands = (
        ["git", "diff", "--name-only", "--merge-base", base],
        ["git", "ls-files", "--others", "--exclude-standard"],
    )
    names = []
    for command in commands:
        done = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        )
        names += done.stdout.splitlines()
    return [ROOT / name for name in names]


def module_of(path):
    """Gives the dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def defined(path):
    """Collects the names that a file defines, to which others refer."""
    if not path.exists() or path.name == "__init__.py":
        return set()
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return {name for name in names if not name.startswith("_")}


@functools.cache
def used(path):
    """Collects modules and names of the package that a file uses."""
    modules, names, parts = set(), set(), {"keras_tricks"}
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] != "keras_tricks":
                continue
            modules.add(module)
            for alias in node.names:
                modules.add(f"{module}.{alias.name}")
                names.add(alias.name)
                parts.add(alias.asname or alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in parts:
                names.add(node.attr)
    return modules, names


def importers(path, files):
    """Finds the files that use a module or what it defines."""
    module, names = module_of(path), defined(path)
    found = []
    for file in files:
        modules, used_names = used(file)
        if file != path and (module in modules or names & used_names):
            found.append(file)
    return found


def own_tests(path):
    """Finds the tests of the folder that mirrors that of a module."""
    folder = TESTS / path.relative_to(PACKAGE).parent
    while not folder.is_dir():
        folder = folder.parent
    return [] if folder == TESTS else sorted(folder.rglob("test_*.py"))


def named_tests(path):
    """Finds the tests of a file in its room by the name of their file."""
    room = path.relative_to(PACKAGE if PACKAGE in path.parents else ROOT)
    room = TESTS / room.parts[0] if len(room.parts) > 1 else TESTS
    name = f"test_{path.stem.lstrip('_')}.py"
    return sorted(room.glob(name) if room == TESTS else room.rglob(name))


def tests_of(path):
    """Gives three lists of tests of a changed file, the nearest first."""
    if path.suffix == ".md":
        return [TESTS / "test_docs.py"], [], []
    if path.suffix != ".py":
        return [], [], []
    if TESTS in path.parents:
        if path.name.startswith("test_"):
            return [path] if path.exists() else [], [], []
        beside = path.parent.rglob("test_*.py") if path.parent != TESTS else ()
        name = re.compile(rf"\b{path.stem}\b")
        others = [
            file
            for file in TESTS.rglob("test_*.py")
            if name.search(file.read_text("utf-8"))
        ]
        return list(beside) if path.stem == "conftest" else others, [], []
    if PACKAGE not in path.parents:
        return named_tests(path), [], []
    tests = sorted(TESTS.rglob("test_*.py"))
    near = importers(path, tests)
    far = importers(path, sorted(PACKAGE.rglob("*.py")))
    far = [file for module in far for file in named_tests(module)]
    near, far = (
        [file for file in files if SLOW.isdisjoint(file.parents)]
        for files in (near, far)
    )
    return own_tests(path) + named_tests(path), near, far


def choose(paths, most=MOST):
    """Chooses tests of changed files; also tells how many are left out."""
    chosen, left_out = [], set()
    for number, tier in enumerate(zip(*map(tests_of, paths), strict=True)):
        files = dict.fromkeys(file for files in tier for file in files)
        more = [file for file in files if file not in chosen]
        room = max(most - len(chosen), 0) if number else len(more)
        chosen += more[:room]
        left_out |= set(more[room:])
    return chosen, len(left_out)


def main():
    paths = changed_files()
    chosen, left_out = choose(paths)
    for file in chosen:
        print(file.relative_to(ROOT))
    for path in paths:
        if path.suffix == ".py" and PACKAGE in path.parents and path.exists():
            print(f"tests/test_docstrings.py::test_examples[{module_of(path)}]")
    print(
        f"{len(paths)} files changed: {len(chosen)} files of tests, "
        f"{left_out} farther ones left to `make test`",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
