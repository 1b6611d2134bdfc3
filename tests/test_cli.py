"""The command keras-tricks, without what its scripts do."""

import os
import subprocess
import sys

import keras
import pytest

from keras_tricks import __version__, cli

# Every backend would see the same.
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on each backend"
)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that makes a script and puts it in the place of train.py."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(code):
        path = tmp_path / "train.py"
        path.write_text(code)
        monkeypatch.setattr(cli, "find_script", lambda command: path)
        return path

    return write


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_alone_it_lists_the_commands(argv, capsys):
    assert cli.main(argv) == 0
    text = capsys.readouterr().out
    for command in cli.COMMANDS:
        lines = [
            line.split(maxsplit=1)[1]
            for line in text.splitlines()
            if line.startswith(f"  {command} ")
        ]
        source = cli.find_script(command).read_text("utf-8")
        assert len(lines) == 1 and f'"""{lines[0]}\n' in source


def test_every_script_is_a_command():
    folder = cli.find_script("train").parent
    scripts = {
        path.stem.replace("_", "-")
        for path in folder.glob("*.py")
        if '__name__ == "__main__"' in path.read_text("utf-8")
    }
    assert scripts == set(cli.COMMANDS)


def test_its_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras_tricks {__version__}\n"


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("trian", "train"), ("check_data", "check-data"), ("--flag", "launch")],
)
def test_an_unknown_command_is_one_line(given, nearest, capsys):
    assert cli.main([given]) == 2
    out, error = capsys.readouterr()
    assert not out and error.count("\n") == 1
    assert error.endswith(f"the nearest is {nearest}. Received: {given}\n")


def test_a_script_runs_as_if_python_had_started_it(script, capsys):
    path = script(
        '"""A summary."""\n'
        "import sys, beside\n"
        "main = sys.modules['__main__']\n"
        "print(__name__, main.__file__, main.__spec__, sys.argv, beside.x)\n"
        "sys.exit(75)\n"
    )
    path.with_name("beside.py").write_text("x = 3\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--a=1", "b"])
    assert ended.value.code == 75
    assert capsys.readouterr().out == (
        f"__main__ {path} None {[str(path), '--a=1', 'b']} 3\n"
    )


def test_worker_processes_find_what_the_script_defines(tmp_path):
    (tmp_path / "beside.py").write_text("three = 3\n")
    (tmp_path / "train.py").write_text(
        "import multiprocessing, beside\n"
        "def triple(x):\n"
        "    return x * beside.three\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(triple, [1, 2]))\n"
    )
    code = (
        "import pathlib, sys\n"
        "from keras_tricks import cli\n"
        "cli.find_script = lambda name: pathlib.Path('train.py').resolve()\n"
        "sys.exit(cli.main(['train']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(
            os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p)
        ),
    )
    assert done.stdout == "[3, 6]\n", done.stderr[-2000:]


def test_it_does_not_import_keras():
    code = "import sys, keras_tricks.cli; print('keras' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr[-2000:]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_a_command_is_no_error(script, flag, capsys):
    script("import sys; print(sys.argv[1]); sys.exit(1)")
    assert cli.main(["train", flag]) == 0
    assert capsys.readouterr().out == "--help\n"


def test_help_does_not_hide_a_mistake(script):
    script("raise SystemExit('torch must be installed')")
    with pytest.raises(SystemExit, match="torch must be installed"):
        cli.main(["train", "--help"])


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "keras_tricks.cli", "--help"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.close()  # Before it has anything to say.
        assert process.stderr.read() == b""
    assert process.returncode == 0
