"""Signals that ask a program to end: Ctrl-C, and what a scheduler sends before it takes the machine away.

Inside `interruptible()` the first one raises Interrupted, wherever the program is. With `held=True` it is
only noted, and the program ends at a place of its choice. A further one ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
# Windows has the first two alone.
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))

ONE_REQUEST_S = 2.0
"""Signals within so many seconds are one request: `timeout` and Slurm signal a process, then its group."""

WHOLE_GROUP_S = 0.5
"""How long a signal may take to reach every process of a group."""


class Interrupted(KeyboardInterrupt):
    """The program was asked to end, by the signal `number`.

    kept: what becomes of the work so far. quiet: another process says it.
    """

    def __init__(self, number: int, kept: str = "nothing is half-written", quiet: bool = False) -> None:
        super().__init__(number, kept, quiet)
        self.number, self.kept, self.quiet = number, kept, quiet

    def __str__(self) -> str:
        by = "" if self.number == signal.SIGINT else f" by {signal.Signals(self.number).name}"
        return f"interrupted{by}: {self.kept}"

    @property
    def status(self) -> int:
        """The exit status, as a shell counts: 130 for SIGINT, 143 for SIGTERM, 138 for SIGUSR1."""
        return 128 + self.number


class Request:
    """The handler of SIGNALS. number: of the first signal that came; 0 for none."""

    def __init__(self, held: bool) -> None:
        self.number = 0
        self._held = held
        self._since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number, self._since = number, time.monotonic()
            if not self._held:
                raise Interrupted(number)
        elif time.monotonic() - self._since > ONE_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def hand_over(self, other: Request) -> None:
        """Let `other` know what came, so that it takes a repeated signal for what it is."""
        if self.number and not other.number:
            other.number, other._since = self.number, self._since


@contextmanager
def interruptible(held: bool = False) -> Iterator[Request]:
    """Answer SIGNALS inside the block. A held one raises Interrupted at the end, unless another error does.

    A signal that the parent ignores (nohup, a job in the background) stays ignored. Other threads than the
    main one cannot answer signals; there this does nothing.
    """
    request = Request(held)
    before = {}
    if threading.current_thread() is threading.main_thread():
        answered = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        before = {number: signal.signal(number, request) for number in answered}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
            if isinstance(handler, Request):
                request.hand_over(handler)
    if held and request.number:
        raise Interrupted(request.number)
