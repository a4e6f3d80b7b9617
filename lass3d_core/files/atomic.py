"""Atomic writing of files and folders: write to a `.part` beside, flush to disk, rename."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lass3d_core.errors import StorageError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EFBIG: "the file grows beyond the size that the system allows; raise the limit (ulimit -f)",
    errno.EIO: "the disk reports an error; check it",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.ENAMETOOLONG: "the name is too long for this system; choose a shorter one",
    errno.ENOENT: "the folder vanished; create it again",
}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a `.part` path beside `path`; on success flush it to disk and rename it, else remove it.

    So a reader of `path` sees the old file, the new file or none, never half a file. Raises StorageError.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            for written in (*part.rglob("*"), part):  # a file contains nothing
                _flush_to_disk(written)
            part.replace(path)
            _flush_to_disk(path.parent)
        except BaseException:
            _remove(part)
            raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """As `atomic_write`, for a folder: `path` must not exist yet. Raises StorageError."""
    with atomic_write(path) as part:
        _remove(part)  # left by a killed process that had our process id
        part.mkdir()
        yield part


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while writing `path` into a StorageError that names the path and what to do."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0)
        if reason is None:
            raise
        raise StorageError(f"cannot write {path}: {reason}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 by an atomic rename. Raises StorageError."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def remove_parts(folder: Path) -> None:
    """Delete the `.part` files and folders of processes that no longer run."""
    for part in folder.glob("*.part"):
        owner = part.suffixes[-2][1:] if len(part.suffixes) >= 2 else ""
        if not (owner.isdigit() and _alive(int(owner))):
            _remove(part)


def _remove(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
