"""Clouds that are too large for one pass: overlapping tiles, whose answers are blended.

The x-y plane is cut into squares. A tile also sees a margin around its square. Across the margin its say
falls from 1 to 0 while its neighbour's rises, so no seam is left. Strips of tiles are taken one after another
along the longer side of the cloud. Memory holds the probabilities of one strip, never of the whole cloud.
Letters: N points, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lass3d_core.errors import DataError

Answer = Callable[[np.ndarray], np.ndarray]
"""Indices (n,) int64 of a tile's points -> their probabilities (n,C) float32."""

BLOCK = 1_000_000
"""Points that are handled at once where every point has to be looked at."""


@dataclass(frozen=True)
class Tiling:
    """Squares of `edge` metres, counted from `low`.

    axes: of the points; strips follow one another along the first.
    low: the least coordinate along each of `axes`, metres.
    margin: metres that a tile sees beyond its square on every side.
    """

    axes: tuple[int, int]
    low: tuple[float, float]
    edge: float
    margin: float

    @classmethod
    def of(cls, points: np.ndarray, most: int, margin: float) -> Tiling:
        """Large squares of which no tile holds more than about `most` of points (N,3).

        Raises DataError if the cloud is too wide to count its squares.
        Decision: squares do not become smaller than four margins. Tiles would then be mostly margin.
        """
        low = points[:, :2].min(axis=0).astype(float)
        extent = points[:, :2].max(axis=0).astype(float) - low
        if not extent.max() / margin < 2**31:
            raise DataError(
                f"the cloud is {extent.max():.3g} m wide, too wide for tiles; drop the far points"
            )
        axes = (0, 1) if extent[0] >= extent[1] else (1, 0)
        # About a million points show well enough how full a square is.
        step = -(-len(points) // BLOCK)
        seen = points[::step]
        longest = max(float(extent.max()), 4 * margin) * (1 + 1e-6)
        squares = 1
        while True:
            tiling = cls(axes, (low[axes[0]], low[axes[1]]), longest / squares, margin)
            squares = max(squares + 1, squares * 5 // 4)
            if longest / squares < 4 * margin or step * tiling._fullest(seen) <= most:
                return tiling

    def number(self, values: np.ndarray, axis: int) -> np.ndarray:
        """The number of the square of the coordinates (n,) along `axes[axis]`, (n,) int64."""
        return ((values - self.low[axis]) / self.edge).astype(np.int64)

    def sees(self, values: np.ndarray, axis: int, number: int) -> np.ndarray:
        """Which coordinates (n,) along `axes[axis]` lie in tile `number`, its margin included; (n,) bool."""
        start = self.low[axis] + number * self.edge
        return (values >= start - self.margin) & (values < start + self.edge + self.margin)

    def say(self, values: np.ndarray, axis: int, number: int) -> np.ndarray:
        """How much tile `number` counts at coordinates (n,) along `axes[axis]`, (n,) float32 in (0, 1]."""
        start = self.low[axis] + number * self.edge
        rising = (values - (start - self.margin)) / (2 * self.margin)
        falling = ((start + self.edge + self.margin) - values) / (2 * self.margin)
        return np.clip(np.minimum(rising, falling), 1e-3, 1).astype(np.float32)

    def _fullest(self, points: np.ndarray) -> float:
        """Points of the fullest square, its margin included in proportion to its area."""
        strip, row = (self.number(points[:, axis], place) for place, axis in enumerate(self.axes))
        counts = np.unique(strip << 32 | row, return_counts=True)[1]
        return float(counts.max()) * (1 + 2 * self.margin / self.edge) ** 2


def blended(
    points: np.ndarray, tiling: Tiling, classes: int, answer: Answer
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices (n,) int64 with their blended probabilities (n,C) float32, block by block; each point once."""
    along, across = (points[:, axis] for axis in tiling.axes)
    strips = _strips(along, tiling)
    waiting = np.empty(0, np.int64)
    waiting_sums, waiting_says = np.empty((0, classes), np.float32), np.empty(0, np.float32)
    for strip, following in zip(strips, [*strips[1:], None]):
        seen = np.flatnonzero(tiling.sees(along, 0, strip))
        sums, says = np.zeros((len(seen), classes), np.float32), np.zeros(len(seen), np.float32)
        # The points that wait lie in the left margin of this strip, so all of them are seen again.
        place = np.searchsorted(seen, waiting)
        sums[place], says[place] = waiting_sums, waiting_says
        here, there = along[seen], across[seen]
        say_along = tiling.say(here, 0, strip)
        # A square without points needs no tile: its neighbours answer what lies in its margin.
        for row in np.unique(tiling.number(there[tiling.number(here, 0) == strip], 1)).tolist():
            tile = np.flatnonzero(tiling.sees(there, 1, row))
            say = say_along[tile] * tiling.say(there[tile], 1, row)
            probability = answer(seen[tile])
            probability *= say[:, None]
            sums[tile] += probability
            says[tile] += say
        waits = np.zeros(len(seen), bool) if following is None else tiling.sees(here, 0, following)
        waiting, waiting_sums, waiting_says = seen[waits], sums[waits], says[waits]
        ready = np.flatnonzero(~waits)
        for start in range(0, len(ready), BLOCK):
            block = ready[start : start + BLOCK]
            yield seen[block], sums[block] / says[block, None]


def _strips(along: np.ndarray, tiling: Tiling) -> list[int]:
    """The numbers of the strips that have points, ascending. along (N,): coordinates."""
    numbers: set[int] = set()
    for start in range(0, len(along), BLOCK):
        numbers.update(np.unique(tiling.number(along[start : start + BLOCK], 0)).tolist())
    return sorted(numbers)
