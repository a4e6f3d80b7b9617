"""A signal that asks the program to end: one line and a status of its own; a second one ends it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lass3d_core.errors import DataError, exit_status
from lass3d_core.signals import SIGNALS, Interrupted, interruptible

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("number", "status", "by"),
    [
        (signal.SIGINT, 130, ""),
        (signal.SIGTERM, 143, " by SIGTERM"),
        (signal.SIGUSR1, 138, " by SIGUSR1"),
        (signal.SIGHUP, 129, " by SIGHUP"),
    ],
)
def test_a_signal_is_one_line_and_its_own_status(
    number: int, status: int, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    assert exit_status(lambda: os.kill(os.getpid(), number), "run it again") == status
    assert capsys.readouterr().err == f"interrupted{by}: nothing is half-written; run it again\n"
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_a_held_signal_waits_for_the_end_of_the_block() -> None:
    with pytest.raises(Interrupted) as caught, interruptible(held=True) as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.number == signal.SIGTERM
    assert caught.value.status == 143


def test_an_error_of_the_block_comes_before_its_held_signal() -> None:
    with pytest.raises(DataError), interruptible(held=True):
        os.kill(os.getpid(), signal.SIGTERM)
        raise DataError("a.bin is cut off")


def test_a_signal_that_comes_twice_at_once_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """As `timeout` sends it: to the process, and to its group."""

    def main() -> None:
        try:
            with interruptible(held=True):
                os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    assert exit_status(main) == 143
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_the_process_at_once(second: int) -> None:
    script = (
        "import os, time\nfrom lass3d_core import signals\nsignals.ONE_REQUEST_S = 0.0\n"
        "with signals.interruptible(held=True):\n"
        "    os.kill(os.getpid(), 15)\n    time.sleep(0.01)\n"
        f"    os.kill(os.getpid(), {int(second)})\n    time.sleep(60)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=30, check=False)
    assert run.returncode == -second


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """nohup ignores SIGHUP, and a shell SIGINT for what it starts in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert exit_status(lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_than_the_main_one_leaves_signals_alone() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(exit_status(lambda: 3)))
    thread.start()
    thread.join()
    assert found == [3]
