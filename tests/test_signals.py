"""How processes end: when they are asked to, and with their parent."""

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from keras_tricks import _signals
from keras_tricks.callbacks import Backup, Preempt

from .distribute.training import time_limit

BEGIN = """
import os, signal, sys, threading, time
from keras_tricks import _signals
"""
WAIT = """
print("ready", flush=True)
time.sleep(600)
"""


def start(code):
    """Starts Python; returns it when it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def end(process, *numbers):
    """Sends signals; returns what the process says at its end."""
    for number in numbers:
        process.send_signal(number)
    _, errors = process.communicate(timeout=time_limit(60))
    assert process.returncode == 75
    return errors


@pytest.mark.parametrize("number", _signals.STOPS)
def test_a_script_ends_in_one_line(number):
    errors = end(start(f"_signals.end_in_one_line(){WAIT}"), number)
    name = signal.Signals(number).name
    assert errors == f"\nStopped by {name}. Start the same command again.\n"


def test_a_signal_that_is_ignored_stays_so():
    ignore = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = start(f"{ignore}\n_signals.end_in_one_line(){WAIT}")
    assert "by SIGTERM" in end(process, signal.SIGHUP, signal.SIGTERM)


def test_an_end_does_not_wait_for_threads():
    process = start(
        "_signals.end_in_one_line()\n"
        f"threading.Thread(target=time.sleep, args=[600]).start(){WAIT}"
    )
    end(process, signal.SIGTERM)


def test_output_that_nobody_reads_is_no_error():
    process = start(
        "_signals.end_in_one_line()\nprint('ready', flush=True)\n"
        "print('x' * 100, end='')\ntime.sleep(600)"
    )
    process.stdout.close()
    process.terminate()
    with process:
        assert process.wait(time_limit(60)) == 75
        assert process.stderr.read().count("\n") == 2


def test_a_worker_ends_with_its_parent_and_by_no_signal(tmp_path):
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    (tmp_path / "work.py").write_text(
        f"""{BEGIN}
import multiprocessing
def work():
    _signals._WORKER_SECONDS = 9999  # It is not SIGTERM that ends it.
    _signals.end_with_parent()
    alive = open({str(alive)!r}, "w")
    print(os.getpid(), file=alive, flush=True)
    time.sleep(600)
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
"""
    )
    process = subprocess.Popen([sys.executable, str(tmp_path / "work.py")])
    with open(alive) as file:
        worker = int(file.readline())
        for number in _signals.STOPS:
            os.kill(worker, number)
        assert not select.select([file], [], [], 0.5)[0]
        process.kill()
        assert select.select([file], [], [], time_limit(60))[0]
        assert not file.read()
    process.wait()


def test_workers_begin_deaf_where_a_thread_starts_them():
    code = "import signal; print(*signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    deaf = []

    def run():
        _signals.start_workers_here()
        worker = [sys.executable, "-c", code]
        deaf.append(subprocess.run(worker, capture_output=True).stdout.split())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert set(map(int, deaf[0])) == set(_signals.STOPS)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_preempt_takes_sighup_unless_it_is_ignored(tmp_path):
    before = signal.getsignal(signal.SIGHUP)
    for handler, received in ((signal.SIG_IGN, None), (before, "SIGHUP")):
        signal.signal(signal.SIGHUP, handler)
        preempt = Preempt(Backup(tmp_path))
        preempt.on_train_begin()
        os.kill(os.getpid(), signal.SIGHUP)
        preempt.close()
        assert preempt.received == received
        assert signal.getsignal(signal.SIGHUP) == handler
