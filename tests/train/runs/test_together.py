"""Several processes that train one run end as one program: one line, one status, and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lass3d_core import __version__
from lass3d_core.errors import BackendUnavailable, Lass3dError
from lass3d_core.files.lock import only_one
from train.runs import together

ROOT = Path(__file__).parents[3]


def test_the_words_of_the_first_to_speak_are_the_error(tmp_path: Path) -> None:
    for rank, second in ((0, 20), (1, 10), (2, 30)):
        (tmp_path / f"{rank}.words").write_text(f"words of {rank}")
        os.utime(tmp_path / f"{rank}.words", (second, second))
    with pytest.raises(Lass3dError, match=r"^words of 1$"):
        together._status([2, 2, 2], tmp_path, [])


@pytest.mark.parametrize("returned", [[2, -9], [0, -9], [1, -9]])
def test_a_process_that_was_killed_is_the_error(tmp_path: Path, returned: list[int]) -> None:
    with pytest.raises(Lass3dError, match=r"process 1 .* ended by SIGKILL \(out of memory\?\)"):
        together._status(returned, tmp_path, [])


@pytest.mark.parametrize(
    ("returned", "status"),
    [([-15, -15], 143), ([143, 143], 143), ([138, 0], 138), ([0, 130], 130), ([0, 0], 0)],
)
def test_a_signal_that_was_passed_on_gives_its_own_status(
    tmp_path: Path, returned: list[int], status: int
) -> None:
    assert together._status(returned, tmp_path, [signal.SIGTERM]) == status


@pytest.mark.parametrize("returned", [[2, 1], [0, 1], [143, 1]])
def test_a_fault_of_the_program_keeps_its_traceback(
    tmp_path: Path, returned: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.stderr").write_text("Traceback: ...\n")
    assert together._status(returned, tmp_path, []) == 1
    assert capsys.readouterr().err == "Traceback: ...\n"


def test_a_process_that_waits_for_a_failed_one_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "GRACE_S", 0.2)
    processes = [subprocess.Popen(["sh", "-c", command]) for command in ("exit 2", "exec sleep 60")]
    assert together._wait(processes) == [2, 0]


def test_more_processes_than_gpus_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BackendUnavailable, match="2 processes need a GPU each, and there are 1"):
        together.train_together(2, [])


def test_the_processes_run_this_program_and_no_train_py_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with together._start(0, 1, 0, tmp_path, ["--version"]) as process:
        assert process.wait() == 0
    assert capfd.readouterr().out == f"lass3d {__version__}\n"


def started(tiny: Any, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "train", *tiny.training(*more), "--processes", "2"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--method", "las"), "method 'las' does not exist"),  # in every process
        (("--set", "data.labelled_scans=3"), "2 processes cannot share data.labelled_scans=3 evenly"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tiny: Any, wrong: tuple[str, ...], said: str) -> None:
    with started(tiny, *wrong) as run:
        out, err = run.communicate()
    (line,) = err.splitlines()
    assert run.returncode == 2 and line.startswith(f"error: {said}") and "error" not in out


@pytest.mark.slow
def test_a_run_that_another_process_holds_is_one_line(tiny: Any) -> None:
    """One process of the two finds the lock; the other waits for it."""
    folder = tiny.run("supervised-demo-r20-s0")
    with only_one(folder, "lock"), started(tiny) as run:
        err = run.communicate()[1]
    (line,) = err.splitlines()
    assert run.returncode == 2 and "is already at work on" in line


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_with_its_status(tiny: Any, number: signal.Signals) -> None:
    with started(tiny, "--set", "schedule.steps=100000") as run:
        log = tiny.run("supervised-demo-r20-s0") / "log.csv"
        while not log.exists():
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(number)
        err = run.communicate()[1]
    assert run.returncode == 128 + number and "Traceback" not in err


@pytest.mark.slow
def test_no_process_outlives_the_one_that_started_it(tiny: Any) -> None:
    with started(tiny, "--set", "schedule.steps=100000") as run:
        log = tiny.run("supervised-demo-r20-s0") / "log.csv"
        while not log.exists():
            assert run.poll() is None
            time.sleep(0.05)
        run.kill()
        run.communicate()  # ends when the last process has closed the pipe
