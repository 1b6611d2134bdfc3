"""Importing this ends a script that fails with one line, not a traceback.

What a script expects it tells itself, through `stop`. What nobody foresaw ends
in the hook of this module, which adds what the script was given to read.
`--traceback` shows all of either.
"""

import os
import sys
import threading
import traceback
from typing import NoReturn

_LONGEST = 600
_NO_MEMORY = (
    "out of memory",
    "allocate memory",
    "unable to allocate",
    "resource_exhausted",
    "oom when",
)


def one_line(error: BaseException, foreseen: bool = True) -> str:
    """Return what an error says, in one line.

    Args:
        error: The error.
        foreseen: Whether somebody wrote its text for users. Otherwise what
            the script was given to read is added to it.
    """
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} ..."
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, MemoryError) or any(
        words in text.lower() for words in _NO_MEMORY
    ):
        return f"{line} (a smaller batch, image or network takes less memory)"
    if foreseen:
        return line
    files = [name for name in _given_files() if name not in line]
    given = f" with {', '.join(files)}" if files else ""
    return f"{line}{given} (not foreseen; --traceback shows where)"


def stop(error: Exception) -> NoReturn:
    """End the script with the line of an error that was expected.

    Raises:
        SystemExit: With the line; the code is 1.
    """
    if _shows_all():
        traceback.print_exception(error)
    sys.exit(one_line(error))


def _shows_all():
    # Flags may not be parsed yet, or not be right.
    return any(a in ("--traceback", "-traceback") for a in sys.argv[1:])


def _given_files():
    """Return the arguments that are files or folders."""
    values = [argument.partition("=")[::2] for argument in sys.argv[1:]]
    names = [value or name for name, value in values]
    return [name for name in names if not name.startswith("-") and _is(name)]


def _is(path):
    try:
        return os.path.exists(path)
    except ValueError:
        return False


def _hook(kind, error, trace):
    """Stand in for Python's own, which prints a traceback."""
    if _shows_all():
        sys.__excepthook__(kind, error, trace)
    elif issubclass(kind, KeyboardInterrupt):
        _say("Interrupted")
    elif not issubclass(kind, BrokenPipeError):  # Of `| head`.
        _say(one_line(error, foreseen=False))


def _say(line):
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # There is no stderr.
        pass


def _of_thread(args):
    if args.exc_type is not SystemExit:
        _hook(args.exc_type, args.exc_value, args.exc_traceback)


sys.excepthook = _hook
threading.excepthook = _of_thread
# After the hook: it may be missing.
from absl import flags  # noqa: E402

flags.DEFINE_bool("traceback", False, "Show where in the code a failure is.")
# So that the help of a script lists it.
flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["traceback"])
