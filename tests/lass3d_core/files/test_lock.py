"""One process at a time in a folder, with the locks of the system and without them."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import pytest

from lass3d_core.errors import Lass3dError, StorageError
from lass3d_core.files import lock
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


@pytest.mark.parametrize("code", [38, 37, 95, 524])
def test_without_flock_one_line_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock._say_no_flock.cache_clear()
    for folder in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        with only_one(folder):
            pass
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("note: this file system has no flock")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_flock_the_file_to_delete_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process on another machine may be gone, and cannot be asked."""
    monkeypatch.setattr(lock, "has_flock", lambda folder: False)
    (tmp_path / ".lock.soft").write_text("12345\nanother-machine\n")
    message = r"^process 12345 on another-machine is already at work .* delete .*/\.lock\.soft$"
    with pytest.raises(Lass3dError, match=message), only_one(tmp_path):
        pass


def test_one_home_takes_every_lock() -> None:
    root = Path(lock.__file__).parents[2]
    sources = [
        path for room in ("lass3d_core", "preprocess", "train") for path in (root / room).rglob("*.py")
    ]
    locking = [path.name for path in sources if re.search(r"\b(fcntl|filelock|lockf)\b", path.read_text())]
    assert locking == ["lock.py"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file"), only_one(tmp_path / "file"):
        pass
