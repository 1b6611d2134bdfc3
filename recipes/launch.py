"""Starts several processes of a script on this machine, which train together.

    python recipes/launch.py -n 2 recipes/train.py --distribute=auto
    keras-tricks launch -n 2 train --distribute=auto

The script is a file, or one of the commands of keras-tricks. The flags behind
its name are its own. Every line that a process prints begins with its number.
If one fails, all are stopped. Ctrl-C, SIGTERM and SIGHUP are passed on: the run
saves and ends with the code 75, and the same command continues it, if
--run_folder is given. If this process is killed, the others end too.
"""

import sys
from pathlib import Path

import one_line
import output_streams as output_streams
from absl import app, flags
from process_group import launch

from keras_tricks._signals import end_in_one_line

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
        one_line.stop(error)
    sys.exit(code)


if __name__ == "__main__":
    end_in_one_line()
    flags.FLAGS.set_gnu_getopt(False)  # What follows the script is its own.
    app.run(main)
