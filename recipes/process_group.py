"""Several processes of a command on this machine, which end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from keras_tricks._signals import PREEMPTED, catch, restore

_POLL_SECONDS = 0.1


def launch(
    command: list[str],
    count: int,
    grace: float = 60.0,
    restarts: int = 0,
    gpus_per_process: int | None = None,
    log_folder: str | os.PathLike | None = None,
) -> int:
    """Run a command in several processes and wait for all of them.

    Each finds in its environment what `keras_tricks.distribute.distribute`
    needs on any backend: `TF_CONFIG`, `KERAS_DISTRIBUTION_*`, and
    `MASTER_ADDR`, `MASTER_PORT`, `WORLD_SIZE`, `RANK` and `LOCAL_RANK`. What
    they print has the number of the process before each line.

    As soon as one ends with an error, the others cannot go on: they get
    `grace` seconds to end by themselves and are killed then. SIGTERM, SIGINT
    and SIGHUP are passed on to all, with the same time. If this process dies,
    by `kill -9` for one, they get a SIGTERM and the same time too.

    Args:
        command: Program and arguments.
        count: Number of processes.
        grace: Seconds. Defaults to 60.
        restarts: How many times all processes are started again after an
            error, other than the code 75. Defaults to 0.
        gpus_per_process: The process `i` sees that many GPUs, from
            `i * gpus_per_process` on. Defaults to `None`: all see all.
        log_folder: Folder that gets a file `process_<i>.log` of each, too.
            Defaults to `None`.

    Returns:
        0 if all ended with 0; 75 if one ended so; otherwise the code of
        the first that failed, or 128 + the number of the signal that ended
        it.

    Raises:
        OSError: If the command cannot be started.
    """
    if log_folder is not None:
        Path(log_folder).mkdir(parents=True, exist_ok=True)
    asked, output = [], _Output()
    before = catch(lambda number, frame: asked.append(number))
    try:
        for left in range(restarts, -1, -1):
            with _Guard(grace) as guard:
                group = _Group(output, guard)
                group.start(command, count, gpus_per_process, log_folder)
                code = group.wait(grace, asked)
            if code in (0, PREEMPTED) or asked or not left:
                return code
            output.say(f"All {count} processes start again ({left} times left)")
    finally:
        restore(before)


def process_environments(
    ports: list[int], gpus_per_process: int | None = None
) -> list[dict[str, str]]:
    """Return what each process on this machine is to find in its environment.

    Args:
        ports: A free port for each process.
        gpus_per_process: See `launch`.
    """
    addresses = [f"127.0.0.1:{port}" for port in ports]
    environments = []
    for index in range(len(ports)):
        task = {"type": "worker", "index": index}
        environment = {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": task}
            ),
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses[0],
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(len(ports)),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(ports[0]),
            "WORLD_SIZE": str(len(ports)),
            "RANK": str(index),
            "LOCAL_RANK": str(index),
        }
        if gpus_per_process is not None:
            first = index * gpus_per_process
            visible = range(first, first + gpus_per_process)
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, visible))
            environment["LOCAL_RANK"] = "0"
        environments.append(environment)
    return environments


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class _Group:
    """The processes of one start."""

    def __init__(self, output, guard):
        self.output, self.guard = output, guard
        self.processes, self._pumps, self._logs = [], [], []

    def start(self, command, count, gpus_per_process, log_folder):
        environments = process_environments(free_ports(count), gpus_per_process)
        try:
            for index, environment in enumerate(environments):
                self._start(index, command, environment, log_folder)
        except BaseException:
            self.signal(signal.SIGKILL)
            raise

    def _start(self, index, command, environment, log_folder):
        # Of two pipes: what native code logs would cut lines in two.
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.guard.add(process.pid)
        self.processes.append(process)
        log = None
        if log_folder is not None:
            # After a restart the log goes on.
            path = Path(log_folder) / f"process_{index}.log"
            log = open(path, "ab", buffering=0)
            self._logs.append(log)
        for pipe in process.stdout, process.stderr:
            pump = threading.Thread(
                target=self.output.pump, args=(index, pipe, log), daemon=True
            )
            pump.start()
            self._pumps.append(pump)

    def wait(self, grace, asked):
        """Wait for the end of all; return the code of `launch`."""
        first, deadline, passed_on, killed = 0, None, 0, False
        while True:
            codes = [process.poll() for process in self.processes]
            for index, code in enumerate(codes):
                if code and not first:
                    first = code
                    self.output.say(f"Process {index} {_ended(code)}")
            if None not in codes:
                break
            if len(asked) > passed_on:
                self.signal(asked[passed_on])
                passed_on += 1
            if deadline is None and (first or passed_on):
                deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                if not killed:
                    self.output.say(
                        f"The others did not end in {grace:g} s: killed"
                    )
                self.signal(signal.SIGKILL)
                killed = True
            time.sleep(_POLL_SECONDS)
        for pump in self._pumps:
            pump.join(_POLL_SECONDS * 50)
        for log in self._logs:
            log.close()
        if PREEMPTED in codes:
            return PREEMPTED
        return 128 - first if first < 0 else first

    def signal(self, number):
        """Send a signal to the processes that are left."""
        for process in self.processes:
            if process.poll() is None:
                try:
                    if number == signal.SIGKILL:  # With their children.
                        os.killpg(process.pid, number)
                    else:
                        process.send_signal(number)
                except ProcessLookupError:
                    pass


class _Guard:
    """A process that ends the others if this one is gone.

    It reads a pipe, which ends when its writer dies, of whatever. Unlike
    Linux' signal at the death of a parent, that needs nothing of what is
    launched, does not depend on the thread that starts it, and is known to
    every Unix.
    """

    _CODE = """\
import os, signal, sys, time
pids = [int(line) for line in sys.stdin]
def send(function, number):
    for pid in pids[:]:
        try:
            function(pid, number)
        except OSError:
            pids.remove(pid)
send(os.kill, signal.SIGTERM)
end = time.monotonic() + float(sys.argv[1])
groups = pids[:]
while pids and time.monotonic() < end:
    time.sleep(0.1)
    send(os.kill, 0)
pids = groups
send(os.killpg, signal.SIGKILL)
"""

    def __init__(self, grace):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", self._CODE, str(grace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, pid):
        self.process.stdin.write(b"%d\n" % pid)
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()


class _Output:
    """Writes whole lines, of one process after another.

    A process is never blocked or ended by what its lines cannot be written
    to: a terminal that was closed, a full disk.
    """

    def __init__(self):
        self._lock, self._lost = threading.Lock(), set()

    def pump(self, index, source, log):
        """Copy lines, with the number of the process before each."""
        with source:
            for line in source:
                line = line.rstrip(b"\r\n") + b"\n"
                self._write(1, b"[%d] " % index + line)
                if log is not None:
                    self._write(log, line)

    def say(self, text):
        self._write(2, f"{text}\n".encode())

    def _write(self, file, line):
        with self._lock:
            try:
                number = file if isinstance(file, int) else file.fileno()
                while line and file not in self._lost:
                    line = line[os.write(number, line) :]
                return
            except (OSError, ValueError) as error:  # Full, or closed.
                self._lost.add(file)
                reason = error
        if file not in (1, 2):
            self.say(f"{file.name} ends here: {reason}")


def _ended(code):
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with the code {code}"
