"""Progress bars of one run. Runs side by side draw theirs in different rows of the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

_ROW: ContextVar[int] = ContextVar("row of the terminal", default=0)


def draw_in_row(row: int) -> None:
    """Draw all further bars of this process in `row` of the terminal, counted from the top."""
    _ROW.set(row)


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """A bar of tqdm in the row of this process. options: see tqdm."""
    return tqdm(items, position=_ROW.get(), dynamic_ncols=True, **options)
