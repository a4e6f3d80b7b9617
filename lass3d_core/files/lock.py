"""A lock file that lets one process at a time work in a folder."""

from __future__ import annotations

import functools
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from lass3d_core.errors import Lass3dError
from lass3d_core.files.atomic import storage_errors


@contextmanager
def only_one(folder: Path, name: str = ".lock", remedy: str = "wait for it or end it") -> Iterator[None]:
    """Hold the lock file `folder`/`name`; create the folder if it is missing.

    The lock of a process that has died does not block.
    Raises Lass3dError, which names the process at work and the `remedy`; StorageError.
    """
    path = folder / name
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        try:
            _take(lock)
        except Timeout:
            if isinstance(lock, SoftFileLock):
                remedy += f". If it has ended, delete {lock.lock_file}"
            raise Lass3dError(f"{_owner(lock)} is already at work on {folder}; {remedy}") from None
    try:
        if not isinstance(lock, SoftFileLock):  # a soft lock writes the same two lines itself
            with storage_errors(path):
                path.write_text(f"{os.getpid()}\n{platform.node()}\n")
        yield
    finally:
        lock.release()


def _take(lock: BaseFileLock) -> None:
    """Raises Timeout if another process holds the lock."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not isinstance(lock, SoftFileLock):
            raise
        lock.acquire(timeout=0)  # the first try may only have removed the lock of a process that has died


def _lock(path: Path) -> BaseFileLock:
    if has_flock(path.parent):
        return FileLock(path)
    _say_no_flock()
    return SoftFileLock(path.with_name(f"{path.name}.soft"))


@functools.cache
def _say_no_flock() -> None:
    """Once in a process: a table locks many folders."""
    print("note: this file system has no flock; a file NAME.soft in each folder is the lock", file=sys.stderr)


def has_flock(folder: Path) -> bool:
    """Whether files in `folder` can be locked. Lustre and NFS may be mounted without locks."""
    try:
        import fcntl
    except ImportError:  # Windows, which has its own locks
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _owner(lock: BaseFileLock) -> str:
    """The process that holds the lock, as the lock file says."""
    try:
        process, host = Path(lock.lock_file).read_text(encoding="utf-8").splitlines()[:2]
    except (OSError, ValueError):
        return "another process"
    return f"process {process} on {host}"
