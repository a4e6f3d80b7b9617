"""The error tree. Every message is one line: what is wrong, where (file, frame, key), what to do.

A program's `main` runs inside `exit_status`: ours become one line on stderr and exit status 2,
Ctrl-C becomes 130, anything else keeps its traceback, because it is a fault of the program.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


class Lass3dError(Exception):
    """Base of every error that a user can mend."""


class ManifestError(Lass3dError):
    """`data_manifest.yaml` or a command-line setting is wrong."""


class DataError(Lass3dError):
    """A file of the data set (scan, label, image, calibration, list) is wrong."""


class MissingArtifact(Lass3dError):
    """A file that an earlier stage writes is not there."""


class StaleArtifact(Lass3dError):
    """A file of an earlier stage was made with other parameters or inputs."""


class CorruptArtifact(Lass3dError):
    """A file that we wrote does not read back as it was written."""


class StorageError(Lass3dError):
    """The disk is full, read-only or gone."""


class UnknownName(Lass3dError):
    """A name (data set, method, model, backend, preset) that does not exist; lists the known ones."""


class BackendUnavailable(Lass3dError):
    """A package, its build or a device that a choice needs is absent."""


def exit_status(
    main: Callable[[], int | None], how_to_resume: str = "run the same command again to resume"
) -> int:
    """Run `main` and turn what it raises into an exit status (0, 2 or 130) and at most one line on stderr."""
    try:
        return main() or 0
    except Lass3dError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted: nothing is half-written; {how_to_resume}", file=sys.stderr)
        return 130
