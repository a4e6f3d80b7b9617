"""Ending a run early, where it can go on: between two steps, or between two scans of an evaluation.

Processes that train together must leave at the same place, or one would wait for the others. So they agree:
a signal to one of them ends all, once each has come to the end of its step or of its share of the scans. If a
rank is signalled alone, the others first finish what they are at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

from lass3d_core.compute import parallel
from lass3d_core.errors import Lass3dError
from lass3d_core.signals import Interrupted, Request

Item = TypeVar("Item")


class Stopping:
    """Whether a run has to end. saved: what of it is on disk, in words; empty if nothing."""

    def __init__(self, request: Request, device: torch.device) -> None:
        self.saved = ""
        self._request, self._device = request, device
        self._failure: Lass3dError | None = None
        self._number = 0  # of the signal that a process got

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """`items`, up to a signal or an error of theirs. `agreed` or `check` must follow."""
        try:
            for item in items:
                if self._request.number:
                    return
                yield item
        except Lass3dError as error:
            self._failure = error

    def agreed(self) -> bool:
        """Whether a process got a signal, or an error from `until`. All processes must call it together."""
        mine = torch.tensor([self._request.number, int(self._failure is not None)], device=self._device)
        self._number, failed = map(int, parallel.all_reduce_max(mine).tolist())
        return bool(self._number or failed)

    def check(self) -> None:
        """Leave in every process if `agreed`: with Interrupted, or with the error where it was met.

        They must call it together. The first has then written its files, and alone names the signal.
        """
        if not self.agreed():
            return
        parallel.wait_for_all()
        if self._number:
            raise Interrupted(self._number, self.saved or "no step is saved", quiet=parallel.rank() > 0)
        if self._failure is None:
            raise SystemExit(2)
        goes_on = f"; {self.saved}, RESUME=1 (--resume) goes on" if self.saved else ""
        raise type(self._failure)(f"{self._failure}{goes_on}")
