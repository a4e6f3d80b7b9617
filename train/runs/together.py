"""Train one run in several processes of this machine that share every batch.

Why not torchrun: a mistake of the user is one line and status 2 here. torchrun repeats the line once for each
process, adds forty of its own, and exits with 1. It also kills its processes 30 s after a signal, in which a
checkpoint may not be written yet. Several machines still need it; a process here is started as it does it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch.distributed import TCPStore

from lass3d_core.errors import LAST_WORDS, BackendUnavailable, Lass3dError

GRACE_S = 30.0
"""Once a process has failed, the others may wait for it for ever. They are killed after so many seconds."""

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

_HERE = "127.0.0.1"

_PROGRAM = "import sys; sys.path[:] = {path}; from train.__main__ import main; sys.exit(main())"
"""This program, found where this process found it. `-m train` would take a train.py of the current folder."""


def is_one_of_several() -> bool:
    """Whether this process was started to train together with others."""
    return "RANK" in os.environ


def train_together(processes: int, arguments: Sequence[str]) -> int:
    """Run this program with `arguments` in `processes` processes; gives the status of the first to fail.

    Raises Lass3dError if one was killed, BackendUnavailable if there are fewer GPUs than processes.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise BackendUnavailable(f"{processes} processes need a GPU each, and there are {gpus}; start fewer")
    store = TCPStore(_HERE, 0, is_master=True, wait_for_workers=False)  # where the processes meet
    with tempfile.TemporaryDirectory() as folder, _signals() as came:
        started = [_start(rank, processes, store.port, Path(folder), arguments) for rank in range(processes)]
        came.pass_on_to(started)
        return _status(_wait(started), Path(folder), came.numbers)


def _status(returned: Sequence[int], folder: Path, came: Sequence[int]) -> int:
    """The status of all. returned: by each process. came: the signals that were passed on.

    A process that was killed, or met a fault of the program, is the cause of what the others return.
    """
    code, rank = min((code or 999, rank) for rank, code in enumerate(returned))
    if code < 0 and -code not in came:
        how = signal.Signals(-code).name
        raise Lass3dError(f"process {rank} of those that train together was ended by {how} (out of memory?)")
    said = sorted(folder.glob("*.words"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    if said:
        raise Lass3dError(said[0].read_text(encoding="utf-8"))
    if code == 1 and rank > 0:
        sys.stderr.write((folder / f"{rank}.stderr").read_text(encoding="utf-8"))
    return 0 if code == 999 else code if code > 0 else 128 - code


def end_with_starter() -> None:
    """Let this process, one of several, exit as soon as `train_together` does: it would hold its lock."""
    if LAST_WORDS in os.environ:
        threading.Thread(target=_end_with_stdin, name="end with starter", daemon=True).start()


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _start(
    rank: int, processes: int, port: int, folder: Path, arguments: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start process `rank` in a session of its own: it gets the terminal's Ctrl-C from this process alone."""
    of_all = {
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": _HERE,
        "MASTER_PORT": port,
    }
    of_store = {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    told = {"RANK": rank, "LOCAL_RANK": rank, **of_all, **of_store, LAST_WORDS: folder / f"{rank}.words"}
    with (folder / f"{rank}.stderr").open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=sys.path), *arguments],
            env={"OMP_NUM_THREADS": "1", **os.environ, **{name: str(value) for name, value in told.items()}},
            stdin=subprocess.PIPE,
            stderr=stderr if rank > 0 else None,
            start_new_session=True,
        )


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Wait until all have ended. Gives what each returned; 0 for those that had to be killed here."""
    failed_since, killed = None, set[int]()
    while any(process.poll() is None for process in started):
        time.sleep(0.05)
        if failed_since is None and any(process.returncode for process in started):
            failed_since = time.monotonic()
        if failed_since is not None and time.monotonic() - failed_since > GRACE_S:
            killed |= {rank for rank, process in enumerate(started) if process.poll() is None}
            for rank in killed:
                started[rank].kill()
    return [0 if rank in killed else process.returncode for rank, process in enumerate(started)]


class _Signals:
    """The signals that came, which are passed on to the processes."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._processes: Sequence[subprocess.Popen[bytes]] = ()

    def pass_on_to(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        for number in self.numbers:
            self._send(number)

    def __call__(self, number: int, frame: object) -> None:
        self.numbers.append(number)
        self._send(number)

    def _send(self, number: int) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(number)


@contextmanager
def _signals() -> Iterator[_Signals]:
    """Pass signals on inside the block, but those that the shell ignores."""
    came = _Signals()
    answered = [number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, came) for number in answered}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
