"""The start and the end of a program: what stands between its commands and the user's shell.

`exit_status` in lass3d_core/errors.py turns errors into a status. This file is for what lies outside of it:
the imports, which take seconds, the words of the command line, and the streams that the program writes to.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from lass3d_core import __version__

Main = Callable[[Sequence[str] | None], int]  # runs a command line, gives the exit status

INTERRUPTED = 128 + signal.SIGINT

VERSION = f"lass3d {__version__}"

_WITHOUT_MAKE = (
    "Messages name targets of the Makefile. Without it, `make NAME` is the command NAME of lass3d-preprocess "
    "or lass3d-train, `make train` is `lass3d-train run`, and `make setup-lvm` is "
    "`pip install 'lass3d[lvm]'`."
)


class CommandLine(argparse.ArgumentParser):
    """A parser whose complaint is one line, as every other error of ours; the usage is in --help."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"error: {message.removeprefix('argument ')}; see {self.prog} --help\n")


def command_line(command: str, module: str, description: str) -> CommandLine:
    """The parser of a program, with its --version.

    It calls itself as it was called: by its console command, or by `python -m` and its module.
    """
    called = command if Path(sys.argv[0]).stem == command else f"python -m {module}"
    parser = CommandLine(prog=called, description=description, epilog=_WITHOUT_MAKE)
    parser.add_argument("--version", action="version", version=VERSION, help="print the version")
    return parser


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """A type for `add_argument`: whole numbers from `least` to `most`."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
        if number > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, got {text}")
        return number

    return whole


MOST_SEED = 2**32 - 1
"""Training derives the seed of a step from the run's seed and the step, in 64 bits."""

seed = whole_number(0, MOST_SEED)


def percent(text: str) -> float:
    """A type for `add_argument`: a share in percent, in (0, 100]."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 100:
        raise argparse.ArgumentTypeError(f"expected a percentage in (0, 100], got {text!r}")
    return share


def run_program(load: Callable[[], Main], arguments: Sequence[str] | None = None) -> int:
    """Import a program and run its command line. Gives the exit status.

    load: imports the program and gives its `main`. Ctrl-C ends the imports without a word, with status 130.
    An output that is lost, because the disk is full, is one line and status 2.
    --version alone is answered before the imports, which may be what is broken.
    """
    if arguments is None:
        _name_files_in_utf8()
    if list(sys.argv[1:] if arguments is None else arguments) == ["--version"]:
        load = _tell_version
    with _outputs() as lost:
        try:
            with _quiet_ctrl_c():
                main = load()
            status = main(arguments)
        except KeyboardInterrupt:
            return INTERRUPTED
        except SystemExit as ended:  # of CommandLine: --help, or a wrong command line
            status = ended.code if isinstance(ended.code, int) else 0
        sys.stdout.flush()
        if lost:
            print(
                f"error: the output cannot be written: {lost[0].strerror}; send it elsewhere", file=sys.stderr
            )
        return status or (2 if lost else 0)


def _tell_version() -> Main:
    def tell(arguments: Sequence[str] | None) -> int:
        print(VERSION)
        return 0

    return tell


def _name_files_in_utf8() -> None:
    """Start this process anew if its locale (C, Latin-1) can name some files only, such as none with "ß".

    Decision: names of files are UTF-8 whatever the terminal shows, as the manifest that holds them is.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    shown = sys.stdout.encoding if sys.stdout is not None else "ascii"
    os.environ.update(PYTHONUTF8="1", PYTHONIOENCODING=f"{shown}:backslashreplace")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def _quiet_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process at once.

    A KeyboardInterrupt would print the stack of half an import. Where it meets C code that imports, as torch
    has, it can also be swallowed, or come out as an ImportError.
    """
    in_charge = threading.current_thread() is threading.main_thread()
    if not in_charge or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _outputs() -> Iterator[list[OSError]]:
    """Make this process's stdout and stderr streams that never raise; yield what stdout could not write.

    Decision: a pipe whose reader has gone (`| head -1`) does not end the work and is no error. What a stage
    or a training writes to disk is worth more than its last lines on the screen.
    A character that the terminal's encoding lacks is written as an escape: "ß" as "\\xdf".
    """
    lost: list[OSError] = []
    before = sys.stdout, sys.stderr
    # A stream that somebody else has put in place is not ours to replace. A closed one is None.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _lenient(sys.stdout, lost)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _lenient(sys.stderr, [])
    try:
        yield lost
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def _lenient(stream: Any, lost: list[OSError]) -> Any:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lenient(stream.fileno(), lost)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )


class _Lenient(io.FileIO):
    """An open file descriptor. What it cannot take is dropped; the reason is added to `lost`."""

    def __init__(self, descriptor: int, lost: list[OSError]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._lost = lost

    def write(self, data: Any) -> int:
        """Write `data`; gives the number of bytes that are done with."""
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            self._lost.append(error)
        return len(data)
