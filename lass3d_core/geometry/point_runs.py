"""A cloud made ready for many cameras: which of its points can lie in a view at all.

What a scanner measures one after another lies together, so the cloud is cut into short runs of consecutive
points, and a run whose box is outside of a view is passed over as a whole. A cloud in random order costs
time, never a point.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar, cast

import numpy as np

Prepared = TypeVar("Prepared")

_RUN = 8  # a power of two; longer runs have fewer boxes, but looser ones
ROUNDING = 1e-5
"""Of the sum of the magnitudes: a hundred times what single precision loses in a sum of four products."""


class PointRuns:
    """The runs of points (N,3) float32 and their boxes.

    points: as given. Points that are not finite are in no view, but cost their run its box.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        self._prepared: dict[Callable[[np.ndarray], object], object] = {}

    def prepared(self, prepare: Callable[[np.ndarray], Prepared]) -> Prepared:
        """What `prepare` makes of the points; made once, for all views."""
        if prepare not in self._prepared:
            self._prepared[prepare] = prepare(self.points)
        return cast(Prepared, self._prepared[prepare])

    @cached_property
    def _runs(self) -> np.ndarray:
        """(3,R,_RUN), the last run filled up with points that are in no view."""
        count = -(-len(self.points) // _RUN)
        columns = np.empty((3, count * _RUN), np.float32)
        columns[:, : len(self.points)] = self.points.T
        columns[:, len(self.points) :] = np.nan
        return columns.reshape(3, count, _RUN)

    @cached_property
    def _boxes(self) -> np.ndarray:
        """Of each run (10,R): centre, half of the size, magnitude of the centre, and 1."""
        count = self._runs.shape[1]
        low = high = self._runs.reshape(3, -1)
        while low.shape[1] > count:
            low = np.minimum(low[:, 0::2], low[:, 1::2])
            high = np.maximum(high[:, 0::2], high[:, 1::2])
        with np.errstate(over="ignore", invalid="ignore"):
            centre, half = (low + high) / 2, (high - low) / 2
        return np.concatenate([centre, half, np.abs(centre), np.ones((1, count), np.float32)])

    @cached_property
    def _index(self) -> np.ndarray:
        return np.arange(self._runs[0].size).reshape(-1, _RUN)

    def within(self, planes: np.ndarray, magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points that may lie on the inner side of every plane: index (n,) int64, ascending, and columns
        (3,n) float32. Past the last index there may be NaN columns.

        planes (P,4): inside is where the product with (x, y, z, 1), computed in single precision in whatever
        order, may be >= 0. magnitudes (P,4): at least the sum of the magnitudes of the terms that make up
        each coefficient.
        """
        margin = ROUNDING * magnitudes
        to_corner = np.abs(planes[:, :3]) + margin[:, :3]
        reach = np.hstack([planes[:, :3], to_corner, margin[:, :3], planes[:, 3:] + margin[:, 3:]])
        with np.errstate(over="ignore", invalid="ignore"):
            farthest_inside = reach.astype(np.float32) @ self._boxes
        run = np.flatnonzero(~(farthest_inside < 0).any(axis=0))  # so that NaN stays
        return self._index.take(run, axis=0).ravel(), self._runs.take(run, axis=1).reshape(3, -1)
