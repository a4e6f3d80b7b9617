"""The errors. Every message is one line: what is wrong, where (file, frame, key), and what to do.

A program's `main` runs inside `exit_status`. A Lass3dError becomes one line on stderr and exit status 2;
a signal that asks the program to end becomes one line and a status of its own, see signals.py. Any other
exception keeps its traceback, because it is a fault of the program.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lass3d_core.signals import Interrupted, interruptible

LAST_WORDS = "LASS3D_LAST_WORDS"
"""An environment variable: the file for the line of an error, which whoever started this process prints."""


class Lass3dError(Exception):
    """Base class of all errors that a user can correct."""


class ManifestError(Lass3dError):
    """`data_manifest.yaml` or a command-line setting is wrong."""


class DataError(Lass3dError):
    """A file of the data set (scan, label, image, calibration, list) is wrong."""


class MissingArtifact(Lass3dError):
    """A file that an earlier stage writes is missing."""


class StaleArtifact(Lass3dError):
    """A file of an earlier stage was made with other parameters or inputs."""


class CorruptArtifact(Lass3dError):
    """A file that this project wrote is damaged."""


class StorageError(Lass3dError):
    """The disk cannot be written: full, read-only, missing."""


class UnknownName(Lass3dError):
    """An unknown name (data set, method, model, backend, preset); the message lists the known ones."""


class BackendUnavailable(Lass3dError):
    """A package or device that a setting needs is missing, or is built without what it needs."""


@contextmanager
def reading(path: object, if_missing: str = "restore it or mend the manifest") -> Iterator[None]:
    """Turn an OSError while `path` is read into a DataError that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; {if_missing}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; restore it") from error


def exit_status(
    main: Callable[[], int | None], how_to_resume: str = "run the same command again to resume"
) -> int:
    """Run `main`; turn its errors and signals into an exit status and at most one line on stderr.

    The status is 2 for a Lass3dError, and 128 + its number for a signal: 130 for Ctrl-C.
    """
    with interruptible():
        try:
            return main() or 0
        except Lass3dError as error:
            _say(str(error))
            return 2
        except UnicodeEncodeError as error:
            if error.encoding != sys.getfilesystemencoding():
                raise
            _say(
                f"{error.object!r} cannot be the name of a file in this system's encoding, {error.encoding}; "
                "choose another name"
            )
            return 2
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            _say(f"{error.filename}: the name is too long for this system; choose a shorter one")
            return 2
        except KeyboardInterrupt as error:
            stop = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
            if not stop.quiet:
                print(f"{_fresh_line()}{stop}; {how_to_resume}", file=sys.stderr)
            return stop.status


def _fresh_line() -> str:
    """What clears a terminal's line, on which "^C" stands and perhaps a bar that nobody closed."""
    return "\r\033[K" if sys.stderr is not None and sys.stderr.isatty() else ""


def _say(words: str) -> None:
    file = os.environ.get(LAST_WORDS)
    if file:
        Path(file).write_text(words, encoding="utf-8")
    else:
        print(f"error: {words}", file=sys.stderr)
