"""The command `keras-tricks`: one sub-command for each script of recipes/."""

import ast
import contextlib
import difflib
import os
import runpy
import sys
from pathlib import Path

from keras_tricks._version import __version__

COMMANDS = (
    "train",
    "recipes",
    "evaluate",
    "predict",
    "export",
    "ablate",
    "report",
    "compare-distillation",
    "check-data",
    "show-batch",
    "make-records",
    "launch",
)


def main(argv: list[str] | None = None) -> int:
    """Run the script of a command, or list the commands.

    The script runs as if Python had been started with it: it is `__main__`,
    the modules beside it can be imported, and what comes after the command is
    its own. So it works with worker processes, which import it again.

    Args:
        argv: The command and its arguments. Defaults to those of the process.

    Returns:
        The exit code: 0, or 2 if there is no such command. A script that
        fails raises `SystemExit` with its own.
    """
    command, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("--help", "-h", "help"):
        with contextlib.suppress(BrokenPipeError):  # Of `| head`.
            print(_overview(), flush=True)
            return 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if command == "--version":
        print(f"keras_tricks {__version__}")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1, cutoff=0)
        print(
            f"The command must be one of {', '.join(COMMANDS)}; the nearest "
            f"is {near[0]}. Received: {command}",
            file=sys.stderr,
        )
        return 2
    script = find_script(command)
    sys.argv = [str(script), *rest]
    sys.path.insert(0, str(script.parent))
    asks = rest[:1] in (["-h"], ["--help"])
    if asks:
        sys.argv[1] = "--help"
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        # Help of absl ends with 1; a message is that of a mistake.
        if not (asks and end.code == 1):
            raise
    return 0


def find_script(command: str) -> Path:
    """Return the script of a command.

    Args:
        command: One of `COMMANDS`.

    Returns:
        The path: in the installed package, or beside it in a checkout.
    """
    folder = Path(__file__).parent / "recipes"
    if not folder.is_dir():
        folder = Path(__file__).parents[1] / "recipes"
    return folder / f"{command.replace('-', '_')}.py"


def _overview():
    lines = []
    for command in COMMANDS:
        # Importing it would import Keras.
        tree = ast.parse(find_script(command).read_text("utf-8"))
        summary = ast.get_docstring(tree).splitlines()[0]
        lines.append(f"  {command:<22}{summary}")
    commands = "\n".join(lines)
    return (
        f"keras_tricks {__version__}: the Bag of Tricks for image "
        "classification on Keras 3\n\n"
        f"keras-tricks COMMAND [--flag=value ...]\n\n{commands}\n\n"
        "keras-tricks COMMAND --help lists the flags of a command."
    )


if __name__ == "__main__":
    sys.exit(main())
