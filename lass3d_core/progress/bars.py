"""Progress of long work. Runs side by side draw their bars in different rows of the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

from lass3d_core.progress.lines import Lines

_ROW: ContextVar[int] = ContextVar("row of the terminal", default=0)

WAIT_S = 10.0
"""Short work writes no line into a log file."""

_SHAPES = (  # columns that the bar must have, and what stands beside it
    (8, "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"),
    (4, "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{remaining} left{postfix}]"),
    (0, "{desc}: {n_fmt}/{total_fmt} [{remaining} left{postfix}]"),
)
_SHORTEST_TITLE = 8
_CTRL_C = 3  # columns that stay free: behind a full line, the terminal's "^C" would begin another


class Progress(Protocol):
    """A bar or its lines, for a `with` block or a loop."""

    def __iter__(self) -> Iterator[Any]: ...

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: Any) -> None: ...

    def update(self, n: int = 1) -> object:
        """Count `n` more units as done."""

    def set_postfix(self, figures: Mapping[str, object], /, refresh: bool | None = True) -> None:
        """Show these figures."""

    def set_postfix_str(self, words: str, /, refresh: bool = True) -> None:
        """Show these words."""


def draw_in_row(row: int) -> None:
    """Draw all further bars of this process in `row` of the terminal, counted from the top."""
    _ROW.set(row)


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    unit: str,
    total: int | None = None,
    lines: int = 10,
    disable: bool = False,
    **look: Any,
) -> Progress:
    """The progress of `total` units, called `unit`, by default in the row of this process.

    In a terminal it is a bar of tqdm; look: how, see there. Else it is about `lines` lines on stderr. With
    the default of 10, work of less than WAIT_S writes none.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if not disable and not is_terminal():
        wait = WAIT_S if lines <= 10 else 0.0
        return Lines(items, total, desc, unit, look.get("initial", 0), lines, wait)
    look = {"position": _ROW.get(), "dynamic_ncols": True} | look
    bar: Progress = FittedBar(items, desc=desc, unit=unit, total=total, disable=disable, **look)
    return bar


def is_terminal() -> bool:
    """Whether stderr is a terminal, so that a bar can draw itself anew."""
    return sys.stderr is not None and sys.stderr.isatty()


class FittedBar(tqdm):
    """A bar that gives its columns, its pace and then its title away, so that the figures stay."""

    def __str__(self) -> str:
        meter = self.format_dict
        if not meter["ncols"] or not meter["total"]:
            return super().__str__()
        columns = meter["ncols"] - _CTRL_C
        for least, shape in _SHAPES:
            free = columns - disp_len(_drawn(meter, shape.replace("{bar}", "")))
            if free >= least:
                return _drawn(meter, shape, columns)
        room = max(_SHORTEST_TITLE, disp_len(meter["prefix"]) + free)
        line = _drawn({**meter, "prefix": shortened(meter["prefix"], room)}, shape, columns)
        return str(disp_trim(line, columns))


def _drawn(meter: Mapping[str, Any], shape: str, columns: int | None = None) -> str:
    return tqdm.format_meter(**{**meter, "bar_format": shape, "ncols": columns})


def shortened(title: str, room: int) -> str:
    """`title` in at most `room` characters, without its middle: runs differ at the end of their names."""
    if len(title) <= room:
        return title
    kept = room - 1
    return f"{title[: kept // 2]}…{title[len(title) - (kept - kept // 2) :]}"
