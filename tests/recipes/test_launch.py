"""Processes start, talk, fail and end together."""

import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from ..distribute.training import time_limit

LAUNCH = pathlib.Path(__file__).parents[2] / "recipes" / "launch.py"


def start(code, *flags, tmp_path):
    """Launches a script in which `rank` is the number of the process."""
    script = tmp_path / "script.py"
    begin = "import json, os, signal, sys, time\nrank = int(os.environ['RANK'])"
    script.write_text(f"{begin}\n{code}\n")
    return subprocess.Popen(
        [sys.executable, str(LAUNCH), *flags, str(script), "--own", "-n=7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code, *flags, tmp_path):
    process = start(code, *flags, tmp_path=tmp_path)
    output, errors = process.communicate(timeout=time_limit(60))
    return process.returncode, output, errors


def test_each_process_has_its_environment(tmp_path):
    code = "print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    result, output, _ = run(
        code, "-n", "3", "--gpus_per_process=2", tmp_path=tmp_path
    )
    assert result == 0
    lines = sorted(output.splitlines())
    assert [line[:4] for line in lines] == ["[0] ", "[1] ", "[2] "]
    ports = set()
    for index, line in enumerate(lines):
        environment, arguments = json.loads(line[4:])
        assert arguments == ["--own", "-n=7"]
        config = json.loads(environment["TF_CONFIG"])
        workers = config["cluster"]["worker"]
        assert config["task"] == {"type": "worker", "index": index}
        first, ports = workers[0], {*ports, *workers}
        assert environment["KERAS_DISTRIBUTION_JOB_ADDRESSES"] == first
        assert environment["KERAS_DISTRIBUTION_NUM_PROCESSES"] == "3"
        assert environment["KERAS_DISTRIBUTION_PROCESS_ID"] == str(index)
        host, port = environment["MASTER_ADDR"], environment["MASTER_PORT"]
        assert f"{host}:{port}" == first
        assert environment["WORLD_SIZE"] == "3"
        visible = f"{2 * index},{2 * index + 1}"
        assert environment["CUDA_VISIBLE_DEVICES"] == visible
        assert environment["LOCAL_RANK"] == "0"
    assert len(ports) == 3


@pytest.mark.parametrize(
    ("fails", "code", "said"),
    [
        ("sys.exit(3)", 3, "Process 1 ended with the code 3"),
        ("sys.exit(75)", 75, "Process 1 ended with the code 75"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            137,
            "Process 1 was ended by SIGKILL",
        ),
    ],
)
def test_one_that_fails_ends_all(tmp_path, fails, code, said):
    ready = str(tmp_path / "ready")
    script = f"""
while rank == 1:
    if os.path.exists({ready!r}): {fails}
    time.sleep(0.01)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({ready!r}, "w").close()
time.sleep(600)"""
    result, _, errors = run(script, "--grace=0.2", tmp_path=tmp_path)
    assert result == code
    assert said in errors
    assert "The others did not end in 0.2 s: killed" in errors


def test_one_that_saved_is_to_be_started_again(tmp_path):
    code = """if rank: os.kill(os.getpid(), signal.SIGKILL)
time.sleep(1)
sys.exit(75)"""
    assert run(code, tmp_path=tmp_path)[0] == 75


def test_all_start_again_after_an_error(tmp_path):
    marks = f"open({str(tmp_path)!r} + f'/{{rank}}', 'a').write('x')"
    code = f"""{marks}
tries = len(open({str(tmp_path)!r} + f'/{{rank}}').read())
print("try", tries)
sys.exit(1 if rank == 0 and tries < 3 else 0)"""
    logs = tmp_path / "logs"
    result, output, errors = run(
        code, "--restarts=5", f"--log_folder={logs}", tmp_path=tmp_path
    )
    assert result == 0
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text() == "xxx"
    assert errors.count("start again") == 2
    for index in range(2):
        tries = (logs / f"process_{index}.log").read_text().splitlines()
        assert tries == ["try 1", "try 2", "try 3"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_was_asked_for_is_no_error_to_repeat(number, tmp_path):
    code = f"""signal.signal({int(number)}, lambda *a: sys.exit(75))
print("ready")
time.sleep(600)"""
    process = start(code, "--restarts=5", tmp_path=tmp_path)
    ready = [process.stdout.readline() for _ in range(2)]
    assert sorted(ready) == ["[0] ready\n", "[1] ready\n"]
    time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=time_limit(60))
    assert process.returncode == 75
    assert "start again" not in errors


def test_all_end_with_the_launcher(tmp_path):
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    code = f"""if rank: signal.signal(signal.SIGTERM, signal.SIG_IGN)
alive = open({str(alive)!r}, "w")
print("ready")
time.sleep(600)"""
    process = start(code, "--grace=0.2", tmp_path=tmp_path)
    with open(alive) as file, process:
        assert len([process.stdout.readline() for _ in range(2)]) == 2
        process.kill()
        # It ends when all who could write to it have ended.
        ended, _, _ = select.select([file], [], [], time_limit(60))
        if not ended:  # Else leaving would wait for them.
            subprocess.run(["pkill", "-KILL", "-f", str(tmp_path)])
        assert ended
        assert not file.read()


def test_lines_are_whole(tmp_path):
    code = """import threading
def log():
    for i in range(1000): os.write(2, b"err %d xx\\n" % i)
thread = threading.Thread(target=log)
thread.start()
for i in range(1000): print("out", i, "x" * 99)
thread.join()"""
    result, output, _ = run(code, "-n", "3", tmp_path=tmp_path)
    assert result == 0
    lines = output.splitlines()
    assert len(lines) == 3 * 2 * 1000
    whole = re.compile(r"\[\d\] (out|err) \d+ x+")
    assert not [line for line in lines if not whole.fullmatch(line)]


def test_nobody_waits_for_a_reader_that_is_gone(tmp_path):
    code = """print("ready")
while not os.path.exists(sys.argv[0] + "closed"): time.sleep(0.01)
print(*["x" * 99] * 10000, sep="\\n")"""
    process = start(code, tmp_path=tmp_path)
    with process:
        assert len([process.stdout.readline() for _ in range(2)]) == 2
        process.stdout.close()
        (tmp_path / "script.pyclosed").touch()
        assert process.wait(time_limit(60)) == 0
        assert not process.stderr.read()


def test_mistakes_are_one_line(tmp_path):
    for arguments, message in (
        ([], "A script must follow the flags. Received: none\n"),
        (["trian"], "What is launched must be a script of this folder, such "),
    ):
        process = subprocess.run(
            [sys.executable, str(LAUNCH), *arguments],
            capture_output=True,
            text=True,
            timeout=time_limit(60),
        )
        assert process.returncode == 1
        assert process.stderr.startswith(message)
        assert "Received: " in process.stderr
        assert process.stderr.count("\n") == 1
