"""What a shell can do to a program: close its pipe, fill its disk, name no letters, press Ctrl-C early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lass3d_core import __version__
from lass3d_core.program import CommandLine, Main, command_line, run_program

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from lass3d_core.errors import DataError, exit_status
from lass3d_core.program import run_program

def work():
    print("Stra\\xdfe \\u2192 \\U0001f697", flush=True)
    print("warning: Stra\\xdfe", file=sys.stderr)
    for _ in range(9999):
        print("a line", flush=True)
    open(sys.argv[1], "w").write("done")
    {end}

sys.exit(run_program(lambda: lambda arguments: exit_status(work)))
"""


@pytest.mark.parametrize(
    ("called", "told"),
    [
        ("/x/bin/lass3d-train", "lass3d-train"),
        ("/x/train/__main__.py", "python -m train"),
        ("-c", "python -m train"),
    ],
)
def test_a_program_calls_itself_as_it_was_called(
    called: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    with pytest.raises(SystemExit):
        command_line("lass3d-train", "train", "Train.").parse_args(["--nonsense"])
    assert capsys.readouterr().err.endswith(f"; see {told} --help\n")


def test_the_version_is_told_also_where_the_imports_are_broken(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> Main:
        raise ImportError("torch is broken")

    assert run_program(load, ["--version"]) == 0
    assert capsys.readouterr().out == f"lass3d {__version__}\n"
    assert "--version" in command_line("lass3d-train", "train", "Train.").format_help()


def started(tmp_path: Path, end: str = "", **streams: object) -> subprocess.Popen[bytes]:
    """A program that prints a lot, writes the file `done`, and then does `end`."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    command = [sys.executable, "-c", PROGRAM.format(end=end), str(tmp_path / "done")]
    environment = {**os.environ, **ascii_only}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **given)  # type: ignore[call-overload]


@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
@pytest.mark.parametrize(("end", "status"), [("", 0), ("raise DataError('x')", 2)])
def test_a_pipe_that_closes_does_not_end_the_work(tmp_path: Path, both: bool, end: str, status: int) -> None:
    with started(tmp_path, end, **({"stderr": subprocess.STDOUT} if both else {})) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read() if run.stderr else b""
        assert run.wait() == status and (tmp_path / "done").exists()
    assert said.count(b"\n") == (0 if both else 1 + bool(end))


@pytest.mark.parametrize(("end", "status"), [("", 2), ("raise DataError('x')", 2), ("sys.exit(5)", 5)])
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, end: str, status: int) -> None:
    with Path("/dev/full").open("wb") as full, started(tmp_path, end, stdout=full) as run:
        said = run.communicate()[1].decode().splitlines()[1:]
    assert run.returncode == status and (tmp_path / "done").exists()
    if not end:
        (line,) = said
        assert line == "error: the output cannot be written: No space left on device; send it elsewhere"


def test_a_full_disk_behind_stderr_is_nothing_to_fail_for(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, started(tmp_path, stderr=full) as run:
        run.communicate()
    assert run.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_no_fault(tmp_path: Path, closed: str) -> None:
    done = tmp_path / "done"
    command = f'"{sys.executable}" -c "$PROGRAM" {done} {closed}'
    environment = {**os.environ, "PROGRAM": PROGRAM.format(end="")}
    run = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert run.returncode == 0 and done.read_text() == "done" and b"Traceback" not in run.stderr


def test_letters_that_a_terminal_lacks_are_written_as_escapes(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        out, err = run.communicate()
    assert out.splitlines()[0] == rb"Stra\xdfe \u2192 \U0001f697" and err == b"warning: Stra\\xdfe\n"


@pytest.mark.parametrize("name", ["Stra\\xdfe", "\\u8857", "\\U0001f697"])
def test_a_file_has_its_name_whatever_the_terminal_shows(tmp_path: Path, name: str) -> None:
    folder = str(tmp_path)
    with started(tmp_path, f'open("{folder}/{name}", "w").close()') as run:
        run.communicate()
    assert run.returncode == 0
    assert (tmp_path / name.encode().decode("unicode_escape")).exists()


def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path) -> None:
    with started(tmp_path, r'open("a\ud800")') as run:
        said = run.communicate()[1].decode().splitlines()
    assert run.returncode == 2 and len(said) == 2
    assert said[1].startswith(r"error: 'a\ud800' cannot be the name of a file")


LOADING = """
import os, signal, sys
from lass3d_core.program import run_program

def load():
    {meanwhile}
    return lambda arguments: 0

sys.exit(run_program(load))
"""


@pytest.mark.parametrize(
    "meanwhile",
    [
        "os.kill(os.getpid(), signal.SIGINT)",
        "try: os.kill(os.getpid(), signal.SIGINT)\n    except BaseException: pass",  # as C code does
    ],
)
def test_ctrl_c_while_a_program_is_imported_is_silent(meanwhile: str) -> None:
    """test_import_direction.py holds that nothing heavy is imported before."""
    command = [sys.executable, "-c", LOADING.format(meanwhile=meanwhile)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 128 + signal.SIGINT and run.stdout + run.stderr == b""


def test_a_signal_that_the_shell_ignores_stays_ignored() -> None:
    command = f'trap \'\' INT; "{sys.executable}" -c "$PROGRAM"'
    program = LOADING.format(meanwhile="os.kill(os.getpid(), signal.SIGINT)")
    run = subprocess.run(command, shell=True, cwd=ROOT, env={**os.environ, "PROGRAM": program}, check=False)
    assert run.returncode == 0


@pytest.mark.parametrize("wrong", [[], ["walk"], ["run", "--count", "many"], ["run", "--nothing"]])
def test_a_wrong_command_line_is_one_line_and_status_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = CommandLine(prog="python -m x")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run").add_argument("--count", type=int)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(wrong)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "python -m x" in line
