"""Starts several processes of a script on this machine, which train together.

    python recipes/launch.py -n 2 recipes/train.py --distribute=auto
    keras-tricks launch -n 2 train --distribute=auto

The script is a file, or one of the commands of keras-tricks. The flags behind
its name are its own. Every line that a process prints begins with its number.
If one fails, all are stopped. Ctrl-C and SIGTERM are passed on: the run saves
and ends with the code 75, and the same command continues it, if --run_folder
is given.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import output_streams as output_streams
from absl import app, flags

PREEMPTED = 75
"""Exit code of a run that was asked to end and can continue."""

_POLL_SECONDS = 0.1

_PROCESSES = flags.DEFINE_integer(
    "processes", 2, "Number of processes.", lower_bound=1, short_name="n"
)
_GRACE = flags.DEFINE_float(
    "grace",
    60.0,
    "Seconds that processes get to end by themselves before they are killed.",
    lower_bound=0,
)
_RESTARTS = flags.DEFINE_integer(
    "restarts", 0, "Times to start all again after an error.", lower_bound=0
)
_GPUS_PER_PROCESS = flags.DEFINE_integer(
    "gpus_per_process",
    None,
    "GPUs that each process sees; by default all see all.",
    lower_bound=1,
)
_LOG_FOLDER = flags.DEFINE_string(
    "log_folder", None, "Folder for a file of what each process prints."
)


def main(argv):
    """Start them, or say in one line why it cannot."""
    if len(argv) < 2:
        sys.exit("A script must follow the flags. Received: none")
    command = argv[1:]
    own = Path(__file__).parent / f"{command[0].replace('-', '_')}.py"
    if own.parent == Path(__file__).parent and own.exists():
        command[0] = str(own)
    if command[0].endswith(".py"):
        command = [sys.executable, *command]
    try:
        code = launch(
            command,
            _PROCESSES.value,
            _GRACE.value,
            _RESTARTS.value,
            _GPUS_PER_PROCESS.value,
            _LOG_FOLDER.value,
        )
    except FileNotFoundError:
        sys.exit(
            "What is launched must be a script of this folder, such as train, "
            f"or a program. Received: {argv[1]}"
        )
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit(code)


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
    `grace` seconds to end by themselves and are killed then. SIGTERM and
    SIGINT are passed on to all, with the same time.

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
    asked = []
    with _Signals(asked):
        for left in range(restarts, -1, -1):
            group = _Group(command, count, gpus_per_process, log_folder)
            code = group.wait(grace, asked)
            if code in (0, PREEMPTED) or asked or not left:
                return code
            _say(f"All {count} processes start again ({left} times left)")


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

    def __init__(self, command, count, gpus_per_process, log_folder):
        self.processes, self._pumps = [], []
        ports = free_ports(count)
        environments = process_environments(ports, gpus_per_process)
        try:
            for index, environment in enumerate(environments):
                self._start(index, command, environment, log_folder)
        except BaseException:
            self.signal(signal.SIGKILL)
            raise

    def _start(self, index, command, environment, log_folder):
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        log = None
        if log_folder is not None:
            # After a restart the log goes on.
            log = open(Path(log_folder) / f"process_{index}.log", "ab")
        pump = threading.Thread(
            target=_pump, args=(index, process.stdout, log), daemon=True
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
                    _say(f"Process {index} {_ended(code)}")
            if None not in codes:
                break
            if len(asked) > passed_on:
                self.signal(asked[passed_on])
                passed_on += 1
            if deadline is None and (first or passed_on):
                deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                if not killed:
                    _say(f"The others did not end in {grace:g} s: killed")
                self.signal(signal.SIGKILL)
                killed = True
            time.sleep(_POLL_SECONDS)
        for pump in self._pumps:
            pump.join(_POLL_SECONDS * 50)
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


class _Signals:
    """Notes SIGTERM and SIGINT, where Python allows handlers."""

    def __init__(self, asked):
        self.asked = asked

    def __enter__(self):
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(
                    number, lambda got, frame: self.asked.append(got)
                )

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _pump(index, source, log):
    """Copy lines, with the number of the process before each."""
    with source:
        for line in source:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            print(f"[{index}] {text}", flush=True)
            if log is not None:
                log.write(line)
                log.flush()
    if log is not None:
        log.close()


def _say(text):
    print(text, file=sys.stderr, flush=True)


def _ended(code):
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with the code {code}"


if __name__ == "__main__":
    flags.FLAGS.set_gnu_getopt(False)  # What follows the script is its own.
    app.run(main)
