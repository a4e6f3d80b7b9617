"""Runs in processes of their own."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lass3d_core.errors import StorageError
from train.runs.logs import read_log
from train.runs.side_by_side import outcomes

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120


def children(process: int) -> list[int]:
    """The processes that `process` has started."""
    return [
        int(child)
        for path in Path(f"/proc/{process}/task").glob("*/children")
        for child in path.read_text().split()
    ]


def is_running(process: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_runs_end_when_the_command_that_started_them_is_killed(tiny: Any) -> None:
    """And their folders can be used at once: a run left alone would hold its folder's lock."""
    one_run = ("--table", "2", "--seeds", "0", "--ratios", "20", "--processes", "1")
    endless = ("--set", "schedule.steps=100000", "--set", "schedule.checkpoint_every=1")
    arguments = [sys.executable, "-m", "train", *tiny.arguments("table", *one_run, *endless)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(arguments, cwd=ROOT, stdout=quiet, stderr=quiet) as command:
        until = time.monotonic() + PATIENCE_S
        while not list((tiny.root / "runs").rglob("*.pt")):
            assert command.poll() is None and time.monotonic() < until, "no run has begun"
            time.sleep(0.05)
        started = children(command.pid)
        command.send_signal(signal.SIGKILL)
    assert started
    until = time.monotonic() + PATIENCE_S
    while left := [process for process in started if is_running(process)]:
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_signal_saves_every_run_and_says_where(tiny: Any) -> None:
    """A scheduler signals every process: the command answers, and its runs save."""
    one_run = ("--table", "2", "--seeds", "0", "--ratios", "20", "--processes", "1")
    endless = ("--set", "schedule.steps=100000", "--set", "schedule.checkpoint_every=50000")
    arguments = [sys.executable, "-m", "train", *tiny.arguments("table", *one_run, *endless)]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, cwd=ROOT, start_new_session=True, **pipes) as command:
        until = time.monotonic() + PATIENCE_S
        while not any(read_log(path) for path in (tiny.root / "runs").rglob("log.csv")):
            assert command.poll() is None and time.monotonic() < until, "no run has begun"
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGTERM)
        errors = command.communicate(timeout=PATIENCE_S)[1].replace("\r", "\n")
    assert command.returncode == 143
    assert len(list((tiny.root / "runs").rglob("*.pt"))) == 1
    assert errors.count(": saved at step ") == 1 and "Traceback" not in errors
    assert errors.rstrip().endswith(
        "interrupted by SIGTERM: nothing is half-written; run the same command again"
    )


def test_a_full_shared_memory_is_one_line(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def RLock(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(multiprocessing, "get_context", lambda method: Full())
    with pytest.raises(StorageError, match=r"^cannot write /dev/shm: the disk is full"):
        next(outcomes([], 1))
