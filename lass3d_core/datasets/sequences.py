"""Data sets whose scans follow one another in sequences, with poses: what their readers share."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from lass3d_core.datasets import Dataset
from lass3d_core.geometry.projection import invert_rigid
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import View


class SequenceDataset(Dataset):
    """A data set with scan ids "SEQUENCE/FRAME" and a pose for each scan."""

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        super().__init__(spec, scratch)
        self._in_order = cache(self._list_scans)  # asked for each scan

    def scans_before(self, scan_id: str, count: int) -> tuple[str, ...]:
        """See Dataset. Only scans that exist count, so a thinned sequence has larger steps."""
        known = self._in_order(scan_id.split("/")[0])
        place = bisect_left(known, scan_id)
        return tuple(reversed(known[max(0, place - count) : place]))

    def scans_after(self, scan_id: str, count: int) -> tuple[str, ...]:
        """See Dataset. Only scans that exist count."""
        known = self._in_order(scan_id.split("/")[0])
        place = bisect_left(known, scan_id)
        return tuple(known[place + 1 : place + 1 + count])

    def views_before(self, scan_id: str, count: int) -> tuple[tuple[View, ...], ...]:
        """See Dataset. The cameras follow from the poses. Raises DataError if they are missing or wrong."""
        earlier = self.scans_before(scan_id, count)
        here = self.world_from_points(scan_id) if earlier else np.eye(4)
        moved = []
        for one in earlier:
            earlier_from_here = invert_rigid(self.world_from_points(one)) @ here
            moved.append(tuple(_moved(view, earlier_from_here) for view in self.views(one)))
        return tuple(moved)

    @abstractmethod
    def _list_scans(self, sequence: str) -> Sequence[str]:
        """The ids of the scans of a sequence, ascending; empty if there is none."""

    @abstractmethod
    def world_from_points(self, scan_id: str) -> np.ndarray:
        """See Dataset. Raises DataError if the poses are missing or wrong."""


def _moved(view: View, earlier_from_here: np.ndarray) -> View:
    """The view, whose camera takes points of this scan instead of the earlier scan's."""
    camera = replace(view.camera, cam_from_points=view.camera.cam_from_points @ earlier_from_here)
    return replace(view, camera=camera)
