"""One run at a time on a data set's artifacts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lass3d_core.errors import StorageError
from lass3d_core.files.atomic import storage_errors


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep a second run away from `folder`; the lock goes with the process, however that ends.

    Raises StorageError naming the process that works there, or why nothing can be written.
    """
    path = folder / ".lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "?"
            raise StorageError(
                f"process {owner} is already at work on {folder}; wait for it or end it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
