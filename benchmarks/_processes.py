"""Processes that may fail or hang, and leave a reason in place of a result.

Nothing here imports Keras: each process picks its own backend.
"""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time


class Failed(Exception):
    """Why there is no result, in one line."""


def reason(text: str) -> str:
    """Return the last line of an output that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


class Worker:
    """An object in a process of its own, whose methods are called from here.

    Args:
        module: Module whose `make` returns the object, imported once the
            environment is set.
        environment: Variables to set.
        arguments: Of `make`.
    """

    def __init__(self, module: str, environment: dict, arguments: dict):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._log = tempfile.NamedTemporaryFile("r", errors="replace")
        self._process = context.Process(
            target=_serve,
            args=(theirs, self._log.name, module, environment, arguments),
        )
        self._process.start()
        theirs.close()

    def call(self, method: str, deadline: float):
        """Return what a method returns; raises `Failed`."""
        try:
            self._pipe.send(method)
        except OSError:
            pass  # It has ended; what it said before is read below.
        return self.wait(deadline)

    def wait(self, deadline: float):
        """Return the next answer; the first says that the object is made.

        Raises:
            Failed: If there is none by the deadline of `time.monotonic`, the
                process ended, or the method raised an error.
        """
        try:
            if not self._pipe.poll(max(0, deadline - time.monotonic())):
                raise Failed("took too long")
            fine, value = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code, last = self._process.exitcode, reason(self._log.read())
            raise Failed(f"ended with exit code {code}: {last}") from None
        if not fine:
            raise Failed(value)
        return value

    def stop(self) -> None:
        """End the process and what it started."""
        self._pipe.close()
        self._process.join(3)
        if self._process.is_alive():
            _kill_group(self._process.pid)
            self._process.join()
        self._log.close()


def _serve(pipe, log, module, environment, arguments):
    os.setsid()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        served = importlib.import_module(module).make(**arguments)
        pipe.send((True, None))
        while True:
            try:
                method = pipe.recv()
            except EOFError:
                return
            pipe.send((True, getattr(served, method)()))
    except BaseException as error:
        first = (str(error).strip().splitlines() or [""])[0]
        pipe.send((False, f"{type(error).__name__}: {first}"[:200]))


def run(command: list, environment: dict, deadline: float, cwd=None):
    """Run a command of Python; return its exit code and all that it printed.

    The code is None if it was not ready by the deadline, which ends it and
    what it started.
    """
    # No pipe: what the command started may outlive it and hold it open.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | environment,
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                _kill_group(process.pid)
                process.wait()
        output.seek(0)
        return code, output.read()


def _kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
