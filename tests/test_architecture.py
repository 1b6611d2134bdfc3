"""The rules of the house, read from the imports of each file.

Imports run downwards, in the order of `ROOMS`. A framework is named only where
`_backend/`, `distribute/<backend>/` or an entry of `FRAMEWORKS` says so, and
Keras' private modules only in the patches.
"""

import ast
import graphlib
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_tricks"
# A room imports from those in the lines before its own.
ROOMS = """
_text
_version  _keras_version  _checks  _registration  _deprecation  _types
_image_size
_files  _lock  _random  _signals  _untrusted
_backend  _model_facts
schedules  losses  optimizers  layers
metrics
data
models  surgery
networks
distillation  distribute
callbacks
recipe
report
training
ablation
evaluation
export
cli
__init__
"""
LINE_OF = {
    room: number
    for number, line in enumerate(ROOMS.strip().splitlines())
    for room in line.split()
}
# Who may import which framework, and why.
FRAMEWORKS = {
    "_backend/": {"tensorflow", "jax", "torch"},
    "distribute/tensorflow/": {"tensorflow"},
    "distribute/jax/": {"jax"},
    "distribute/torch/": {"torch"},
    # Torch's resize on the processor is the fastest, whatever the backend.
    "data/transforms/resize.py": {"torch"},
    # A format is what its framework writes.
    "export/formats.py": {"tensorflow", "torch"},
    # .pth files are pickles of torch's tensors.
    "models/weights/readers.py": {"torch"},
    # The fused update of lists of tensors exists in torch alone.
    "optimizers/_torch_sgd.py": {"torch"},
}
PATCHES = {
    f"distribute/{backend}/keras_patches.py"
    for backend in ("tensorflow", "jax", "torch")
}
FILES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def module_of(file):
    parts = ["keras_tricks", *pathlib.PurePath(file).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in FILES}


def imports(tree):
    """Yields the line and the name of each import, of modules where it can."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                own = node.module.split(".")[0] == "keras_tricks"
                is_object = own and name not in MODULES
                yield node.lineno, node.module if is_object else name
        elif isinstance(node, ast.Call) and node.args:
            name = node.args[0]
            is_import = ast.unparse(node.func) == "importlib.import_module"
            if is_import and isinstance(name, ast.Constant):
                yield node.lineno, name.value


def own_imports(tree):
    return [(n, name) for n, name in imports(tree) if name in MODULES]


def room_of(module):
    return (module.split(".") + ["__init__"])[1]


def test_every_room_has_its_place():
    found = {room_of(module) for module in MODULES}
    assert not found - LINE_OF.keys(), "add the room to ROOMS"
    page = PACKAGE.parent / "docs" / "architecture.md"
    assert ROOMS.partition("cli")[0] in page.read_text("utf-8")


def test_imports_run_downwards():
    upwards = []
    for file, tree in FILES.items():
        room = room_of(module_of(file))
        for line, name in own_imports(tree):
            other = room_of(name)
            if other != room and LINE_OF[other] >= LINE_OF[room]:
                upwards.append(f"{file}:{line} imports {name}")
    assert not upwards


def test_no_circles():
    graph = {
        module_of(file): {name for _, name in own_imports(tree)}
        for file, tree in FILES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def frameworks_allowed_in(file):
    sets = [names for place, names in FRAMEWORKS.items() if covers(place, file)]
    return set().union(*sets)


def covers(place, file):
    return file.startswith(place) if place.endswith("/") else file == place


def test_frameworks_are_imported_where_they_may():
    wrong = []
    for file, tree in FILES.items():
        forbidden = {"tensorflow", "jax", "torch"} - frameworks_allowed_in(file)
        for line, name in imports(tree):
            if name.split(".")[0] in forbidden:
                wrong.append(f"{file}:{line} imports {name}")
    assert not wrong


def test_no_exception_is_left_over():
    for place, frameworks in FRAMEWORKS.items():
        files = [file for file in FILES if covers(place, file)]
        names = [name for file in files for _, name in imports(FILES[file])]
        used = {name.split(".")[0] for name in names}
        assert frameworks <= used, f"{place} does not import all of these"


def test_private_keras_is_for_the_patches():
    wrong = []
    for file in FILES.keys() - PATCHES:
        for line, name in imports(FILES[file]):
            if f"{name}.".startswith("keras.src."):
                wrong.append(f"{file}:{line} imports {name}")
        for node in ast.walk(FILES[file]):
            if isinstance(node, ast.Attribute):
                if ast.unparse(node) == "keras.src":
                    wrong.append(f"{file}:{node.lineno} names keras.src")
    assert not wrong


def test_no_file_is_longer_than_a_reader_likes():
    lengths = {
        file: len((PACKAGE / file).read_text("utf-8").splitlines())
        for file in FILES
    }
    assert {file: n for file, n in lengths.items() if n > 400} == {}
