"""One process at a time in a folder, with the locks of the system and without them."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from lass3d_core.errors import Lass3dError, StorageError
from lass3d_core.files.lock import only_one

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(params=[None, 37, 38, 95, 524], ids="flock {}".format)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with flock, or one on which flock fails with this error number."""
    if request.param is not None:

        def refuse(file: object, operation: int) -> None:
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", refuse)


def hold(folder: Path, held: object) -> None:
    with only_one(folder):
        held.set()
        time.sleep(60)


@pytest.mark.usefixtures("system")
def test_a_second_process_is_told_which_one_is_at_work(tmp_path: Path) -> None:
    folder, held = tmp_path / "new", CONTEXT.Event()
    other = CONTEXT.Process(target=hold, args=(folder, held))
    other.start()
    assert held.wait(20)
    message = rf"^process {other.pid} on .+ is already at work on .*new; wait"
    with pytest.raises(Lass3dError, match=message), only_one(folder):
        pass
    os.kill(other.pid or 0, signal.SIGKILL)
    other.join()
    with only_one(folder):  # the lock of a dead process does not block
        pass


@pytest.mark.usefixtures("system")
def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), only_one(tmp_path):
            raise ZeroDivisionError


def test_without_flock_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_one(tmp_path):
        pass
    (line,) = capfd.readouterr().err.splitlines()
    assert "has no flock" in line and ".lock.soft" in line
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file"), only_one(tmp_path / "file"):
        pass
