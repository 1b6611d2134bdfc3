"""The public names and their signatures are those of `public_api.txt`.

So a change of what users call is seen in review. After one that is meant:

    python tests/test_public_api.py

All is read from the source, so it is the same on every backend and version.
"""

import ast
import copy
import difflib
import functools
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
FILE = pathlib.Path(__file__).with_name("public_api.txt")
UNTYPED = ast.Name("UNTYPED")


@functools.cache
def tree_of(module):
    """Returns the syntax of a module by its dotted name, or None."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return ast.parse(file.read_text("utf-8"))
    return None


def imported(module):
    """Yields the name, the module and the name there of each import."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, node.module, alias.name


def find(module, name):
    """Returns the module that defines a name, and the definition or None.

    Of a name that is a module itself, the definition is its `ast.Module`.
    """
    for node in tree_of(module).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names = [getattr(target, "id", None) for target in targets]
        if name in [getattr(node, "name", None), *names]:
            return module, node
    for here, origin, there in imported(module):
        if here == name and origin.split(".")[0] == "keras_tricks":
            found = find(origin, there) if origin != module else (origin, None)
            tree = tree_of(f"{origin}.{there}")
            return (
                (f"{origin}.{there}", tree) if not found[1] and tree else found
            )
    return module, None


def bases_of(module, node):
    """Yields a class of ours and those that it is made of, last first."""
    for base in node.bases:
        *before, name = ast.unparse(base).split(".")
        where, found = find(module, before[0] if before else name)
        if before and isinstance(found, ast.Module):
            where, found = find(where, name)
        if isinstance(found, ast.ClassDef):
            yield from bases_of(where, found)
    yield node


def signature(node, is_method=False):
    """Returns the arguments of a function, and what it returns, as text."""
    node = copy.deepcopy(node)
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    others = filter(None, [node.args.vararg, node.args.kwarg])
    for argument in [*named, *others]:
        argument.annotation = argument.annotation or UNTYPED
    decorators = [ast.unparse(item) for item in node.decorator_list]
    arguments = ast.unparse(node.args)
    if is_method and "staticmethod" not in decorators:
        arguments = re.sub(r"^\w+: UNTYPED(, /)?(, )?", "", arguments)
    returns = f" -> {ast.unparse(node.returns or UNTYPED)}"
    return f"({arguments})" + returns * (node.name != "__init__")


def field(node):
    """Returns a field of a dataclass, of a recipe's without its help."""
    text = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    default = node.value
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "option":
        default = default.args[0]
    return f"{text}={ast.unparse(default)}" if default else text


def members(module, node):
    """Returns what follows a class's name, by the name of each member."""
    fields, found = [], {}
    for cls in bases_of(module, node):
        is_dataclass = "dataclass" in "".join(
            map(ast.unparse, cls.decorator_list)
        )
        for item in cls.body:
            if isinstance(item, ast.AnnAssign) and is_dataclass:
                fields.append(field(item))
            elif isinstance(item, ast.FunctionDef):
                decorators = " ".join(map(ast.unparse, item.decorator_list))
                if ".setter" not in decorators:
                    text = signature(item, is_method=True)
                    is_property = "property" in decorators
                    found[item.name] = text.removeprefix("()" * is_property)
    found = {
        f".{name}": text
        for name, text in sorted(found.items())
        if not name.startswith("_") or name in ("__init__", "__call__")
    }
    return {"": found.pop(".__init__", f"({', '.join(fields)})")} | found


def describe(name, module, node):
    """Yields a line for a public object and for each of its members."""
    if isinstance(node, ast.FunctionDef):
        yield name + signature(node)
    elif isinstance(node, ast.ClassDef):
        for member, text in members(module, node).items():
            yield name + member + text
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        yield f"{name} = {ast.unparse(node.value)}"
    else:
        yield name


def public_api():
    """Returns the public API, a line for each name."""
    lines, rooms = [], ["keras_tricks"]
    for room in rooms:
        for name, origin, _ in imported(room):
            if name.startswith("_") or not origin.startswith("keras_tricks"):
                continue
            module, node = find(room, name)
            if isinstance(node, ast.Module):
                rooms.append(module)
            else:
                lines += describe(f"{room}.{name}", module, node)
    return sorted(lines)


def test_the_public_api_is_the_recorded_one():
    recorded = FILE.read_text("utf-8").splitlines()
    changes = difflib.unified_diff(
        recorded, public_api(), "recorded", "now", lineterm="", n=0
    )
    changes = "\n".join(changes)
    assert not changes, (
        "If the change of the public API is meant, record it with "
        f"`python tests/test_public_api.py`:\n{changes}"
    )


def test_the_public_api_is_typed():
    assert [line for line in public_api() if "UNTYPED" in line] == []


if __name__ == "__main__":
    FILE.write_text("".join(f"{line}\n" for line in public_api()), "utf-8")
    print(f"wrote {FILE}")
