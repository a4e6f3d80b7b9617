"""A process that has imported both programs and forks a child for each order: one line of JSON in, one out.

A child starts in milliseconds; a fresh interpreter takes seconds. The server computes nothing and starts no
thread, so forking it is safe. Each child leads its own process group, which is killed as a whole.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

TIMEOUT_S = 120.0

_NEW_MOUNTS, _PRIVATE = 0x00020000, 0x00044000  # CLONE_NEWNS, MS_REC | MS_PRIVATE of Linux

WARMED = (
    "preprocess.commands",
    "preprocess.lvm.hashing",
    "preprocess.lvm.palette",
    "preprocess.simulation.street.writer",
    "preprocess.simulation.room.writer",
    "train.commands.commands",
    "torch.utils.tensorboard",
    "torch._dynamo",
    "scipy.ndimage",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "lass3d_core.datasets.semantickitti.reader",
    "lass3d_core.datasets.scannet.reader",
    "lass3d_core.datasets.nuscenes.reader",
)
"""Imported before the first fork."""

_WATCHED = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree")
"""Audit events of the file system at which a child can be killed."""


def serve() -> None:
    """Execute orders until the input ends."""
    for name in WARMED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """Run order["call"] ("module:function") on order["arguments"] in a child; return how it ended.

    Conditions, None for none:
    kill_after_s: seconds until the child gets `signal`.
    kill_at_event: number of the file-system event below order["folder"] at which it gets `signal`.
    signal: its number. whole_group: the workers get it too, as always for SIGKILL.
    file_bytes: size limit of every file that it writes.
    shared_bytes: size of its /dev/shm, which needs the right to mount.
    flock_errno: what flock fails with, if the client has given the library of no_flock.py.
    """
    ours, theirs = os.pipe()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(ours)
            _be_the_child(order, theirs, output.fileno(), errors.fileno())
        os.close(theirs)
        patience = order["kill_after_s"] if order["kill_after_s"] is not None else TIMEOUT_S
        hung = False
        if not select.select([ours], [], [], patience)[0]:
            _send(child, order["signal"], order["whole_group"])
            hung = not select.select([ours], [], [], TIMEOUT_S)[0]
        if hung:
            _send(child, signal.SIGKILL, True)
        with os.fdopen(ours, "rb") as pipe:
            events = int(pipe.read() or 0)
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - started
        _send(child, signal.SIGKILL, True)  # workers that outlive their parent
        return {
            "status": os.waitstatus_to_exitcode(status),
            "hung": hung,
            "seconds": seconds,
            "events": events,
            "output": _text(output),
            "errors": _text(errors),
        }


def _be_the_child(order: dict[str, Any], pipe: int, output: int, errors: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (errors, 2)):
            os.dup2(source, target)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        if order["flock_errno"] is not None:
            os.environ["FLOCK_ERRNO"] = str(order["flock_errno"])
        if order["shared_bytes"] is not None:
            mount_shared_memory(order["shared_bytes"])
        if order["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], order["file_bytes"]))
        events = _Events(order["folder"], order["kill_at_event"], order["signal"])
        module, _, function = order["call"].partition(":")
        called = getattr(importlib.import_module(module), function)
        events.watch()
        status = called(*order["arguments"]) or 0
        os.write(pipe, str(events.count).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class _Events:
    """Counts the file-system events below a folder, and sends a signal before the n-th."""

    def __init__(self, folder: str, last: int | None, number: int) -> None:
        self.count = 0
        self._folder = folder
        self._last = last
        self._signal = number

    def watch(self) -> None:
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _WATCHED or not self._folder:
            return
        if any(isinstance(one, (str, Path)) and str(one).startswith(self._folder) for one in arguments):
            self.count += 1
            if self.count == self._last:
                _send(os.getpid(), self._signal, self._signal == signal.SIGKILL)


def _send(leader: int, number: int, whole_group: bool) -> None:
    with suppress(ProcessLookupError, PermissionError):
        (os.killpg if whole_group else os.kill)(leader, number)


def mount_shared_memory(size: int) -> None:
    """Give this process and its children a /dev/shm of `size` bytes. Raises OSError if it may not mount."""
    libc = ctypes.CDLL(None, use_errno=True)
    for failed in (
        libc.unshare(_NEW_MOUNTS),
        libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None),
        libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(0), f"size={size}".encode()),
    ):
        if failed:
            raise OSError(ctypes.get_errno(), "cannot mount /dev/shm")


def can_mount() -> None:
    """Print whether a child may mount; run in a child."""
    try:
        mount_shared_memory(1 << 20)
    except OSError:
        print("no")
    else:
        print("yes")


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))


if __name__ == "__main__":
    serve()
