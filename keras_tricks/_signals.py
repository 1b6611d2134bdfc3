"""What a process does when it is asked to end, and when its parent is gone."""

import contextlib
import functools
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import resource_tracker
from typing import Any

STOPS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP")
    if hasattr(signal, name)
)
"""What schedulers, Ctrl-C and a terminal that closes send."""

PREEMPTED = 75
"""Exit code of what was asked to end: the same command goes on with it."""

_WORKER_SECONDS = 60
_POLL_SECONDS = 0.2


def catch(
    handler: Callable | signal.Handlers, signals: Sequence[int] = STOPS
) -> dict[int, Any]:
    """Give signals to a handler, but for those that are ignored.

    `nohup` ignores SIGHUP, and a shell the Ctrl-C of what runs in its
    background. Outside of the main thread Python allows no handlers: none is
    changed.

    Args:
        handler: As `signal.signal` takes it.
        signals: Numbers.

    Returns:
        The handlers before, for `restore`.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    return before


def restore(before: Mapping[int, Any]) -> None:
    """Put back the handlers that `catch` returned."""
    for number, handler in before.items():
        if handler is not None:  # None: set by other code than Python's.
            signal.signal(number, handler)


def keep_handlers() -> None:
    """Take the signals back from a runtime that has taken them.

    Those of TensorFlow and JAX do when processes meet, behind Python's back.
    """
    if threading.current_thread() is threading.main_thread():
        for number in STOPS:
            handler = signal.getsignal(number)
            if callable(handler):
                signal.signal(number, handler)


def drop_lost_output() -> None:
    """Print into nothing where nobody can read it any more.

    A terminal that was closed, or a pipe whose reader has ended, makes an
    error of each `print`, which would keep a run from saving.
    """
    for stream in (sys.stdout, sys.stderr):
        # No file, a closed one, or a system without `poll`.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            number, poll = stream.fileno(), select.poll()
            poll.register(number, 0)
            if any(
                e & (select.POLLERR | select.POLLHUP) for _, e in poll.poll(0)
            ):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, number)
                os.close(nothing)


def end_in_one_line() -> None:
    """Make signals end a script with one line and the code 75.

    At once, as by `kill -9`, which every file that is written must survive: an
    exception out of nowhere becomes a traceback, a crash or nothing where it
    meets native code. `Preempt` takes the signals while a run trains.
    """

    def stop(number, frame):
        restore(before)  # If the line below cannot be written, say.
        drop_lost_output()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # It may be in use.
                stream.flush()
        text = (
            f"\nStopped by {signal.Signals(number).name}. "
            "Start the same command again.\n"
        )
        with contextlib.suppress(OSError):
            os.write(terminal, text.encode())
        os._exit(PREEMPTED)

    try:
        terminal = os.dup(2)  # While TensorFlow is imported it is a file.
    except OSError:  # There is none.
        terminal = 2
    before = catch(stop)


def start_workers_here() -> None:
    """Let worker processes that this thread starts begin deaf to signals.

    Signals that all processes of a job get, as by Ctrl-C and from Slurm, are
    for the main process, which needs its workers until it has saved. A worker
    takes seconds to import what it needs, and then calls `end_with_parent`.
    In the main thread, which is to hear, nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main and hasattr(signal, "pthread_sigmask"):
        # When it begins, it undoes the mask of the thread.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


@functools.cache
def end_with_parent() -> None:
    """Make this worker process of `multiprocessing` end when its parent does.

    And not by signals before, see `start_workers_here`; by SIGTERM, with
    which `multiprocessing` ends what hangs, after a minute.
    """

    def watch():
        first = os.getppid()
        while not (parent := multiprocessing.parent_process()):
            # It is known when the main script has been imported again.
            if os.getppid() != first:
                os._exit(1)
            time.sleep(_POLL_SECONDS)
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    catch(_end_later, [signal.SIGTERM])
    catch(signal.SIG_IGN, [n for n in STOPS if n != signal.SIGTERM])
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def is_worker() -> bool:
    """Return whether `multiprocessing` has started this process."""
    started = multiprocessing.parent_process() is not None
    return started or "--multiprocessing-fork" in sys.orig_argv


def _end_later(number, frame):
    """End in a while, whatever the process waits for."""
    timer = threading.Timer(_WORKER_SECONDS, os._exit, [1])
    timer.daemon = True
    timer.start()
