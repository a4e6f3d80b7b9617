"""Lines for a log file, in place of a bar: a bar draws itself anew, and a file keeps every drawing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PATIENCE_S = 300.0
"""A line comes after so many seconds at the latest: whoever reads the log wants to know that work goes on."""


class Lines:
    """Where the work stands, its figures, its pace and the time that is left, a line every n units.

    total: of the units; None if unknown, then only PATIENCE_S counts. title, unit: such as "evaluating val",
    "scan". initial: units that were done before. lines: about how many to write. delay: seconds before the
    first, so that short work writes none.
    """

    def __init__(
        self,
        items: Iterable[Any] | None,
        total: int | None,
        title: str,
        unit: str,
        initial: int = 0,
        lines: int = 10,
        delay: float = 0.0,
    ) -> None:
        self.n = initial
        self._items, self._total, self._title, self._unit = items, total, title, unit
        self._every = round_number(total / lines) if total else None
        self._initial, self._delay, self._figures = initial, delay, ""
        self._started = self._last_s = time.monotonic()
        self._last = initial  # the units done at the last line

    def __iter__(self) -> Iterator[Any]:
        for item in self._items or ():
            yield item
            self.update()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to clear."""

    def update(self, n: int = 1) -> None:
        """Count `n` more units as done, and write a line if one is due."""
        self.n += n
        now = time.monotonic()
        if n and now - self._started >= self._delay and self._is_due(now):
            self._last, self._last_s = self.n, now
            print(self._line(now), file=sys.stderr, flush=True)

    def set_postfix(self, figures: Mapping[str, object], refresh: bool | None = False) -> None:
        """Show these figures in the next line."""
        self._figures = ", ".join(f"{name} {value}" for name, value in figures.items())

    def set_postfix_str(self, words: str, refresh: bool = False) -> None:
        """Show these words in the next line."""
        self._figures = words

    def _is_due(self, now: float) -> bool:
        if now - self._last_s >= PATIENCE_S:
            return True
        if self._every is None:
            return False
        return self.n // self._every > self._last // self._every or self.n == self._total

    def _line(self, now: float) -> str:
        count = f"{self.n}" if self._total is None else f"{self.n} of {self._total}"
        said = [f"{count} {self._unit}{'' if (self._total or self.n) == 1 else 's'}"]
        if self._figures:
            said.append(self._figures)
        seconds = (now - self._started) / max(1, self.n - self._initial)
        slow = f"{seconds:.2g} s" if seconds < 90 else duration(seconds)
        said.append(f"{slow} a {self._unit}" if seconds >= 1 else f"{1 / max(seconds, 1e-9):.3g}/s")
        if self._total is not None and self.n < self._total:
            said.append(f"{duration(seconds * (self._total - self.n))} left")
        return f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {self._title}: {', '.join(said)}"


def round_number(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is at least `least`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


def duration(seconds: float | None) -> str:
    """ "40 s", "12 min", "3 h 20 min", "12 days"; a question mark for None."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
