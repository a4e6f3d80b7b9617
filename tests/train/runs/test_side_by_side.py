"""Runs in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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
