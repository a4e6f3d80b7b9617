"""Clouds that are too large for one pass: overlapping tiles, whose answers are blended.

The x-y plane is cut into squares. A tile also sees a margin around its square. Across the margin its say
falls from 1 to 0 while its neighbour's rises, so no seam is left. Strips of tiles along x are taken one after
another. Memory holds the probabilities of one strip, never of the whole cloud.
Letters: N points, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Answer = Callable[[np.ndarray], np.ndarray]
"""Indices (n,) int64 of a tile's points -> their probabilities (n,C) float32."""


@dataclass(frozen=True)
class Tiling:
    """Squares of `edge` metres from (x, y) = `low` on, `counts` along x and y.

    margin: metres that a tile sees beyond its square on every side.
    """

    low: tuple[float, float]
    edge: float
    margin: float
    counts: tuple[int, int]

    @classmethod
    def of(cls, points: np.ndarray, most: int, margin: float) -> Tiling:
        """The largest squares of which no tile holds more than about `most` of points (N,3).

        Decision: squares do not become smaller than four margins. Tiles would then be mostly margin.
        """
        low = points[:, :2].min(axis=0).astype(float)
        extent = points[:, :2].max(axis=0).astype(float) - low
        edge = max(float(extent.max()), 4 * margin) * (1 + 1e-6)
        while True:
            columns, rows = np.maximum(1, np.ceil(extent / edge)).astype(int).tolist()
            tiling = cls((low[0], low[1]), edge, margin, (columns, rows))
            if edge / 2 < 4 * margin or tiling._fullest(points) <= most:
                return tiling
            edge /= 2

    @property
    def count(self) -> int:
        """How many tiles there are, empty ones included."""
        return self.counts[0] * self.counts[1]

    def sees(self, values: np.ndarray, axis: int, number: int) -> np.ndarray:
        """Which of the coordinates (n,) along `axis` lie in tile `number`, its margin included; (n,) bool."""
        start, last = self.low[axis] + number * self.edge, number == self.counts[axis] - 1
        inside = values >= start - self.margin
        return inside if last else inside & (values < start + self.edge + self.margin)

    def say(self, values: np.ndarray, axis: int, number: int) -> np.ndarray:
        """How much tile `number` counts at the coordinates (n,) along `axis`, (n,) float32 in (0, 1]."""
        start = self.low[axis] + number * self.edge
        rising = (values - (start - self.margin)) / (2 * self.margin)
        falling = ((start + self.edge + self.margin) - values) / (2 * self.margin)
        return np.clip(np.minimum(rising, falling), 1e-3, 1).astype(np.float32)

    def _fullest(self, points: np.ndarray) -> float:
        """Points of the fullest square, its margin included in proportion to its area."""
        cells = ((points[:, :2] - np.array(self.low)) / self.edge).astype(np.int64)
        squares = np.bincount(cells[:, 0] * (self.counts[1] + 1) + cells[:, 1])
        return float(squares.max()) * (1 + 2 * self.margin / self.edge) ** 2


def blended(
    points: np.ndarray, tiling: Tiling, classes: int, answer: Answer
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices (n,) int64 with their blended probabilities (n,C) float32, strip by strip; each point once."""
    x, y = points[:, 0], points[:, 1]
    waiting = np.empty(0, np.int64)
    waiting_sums, waiting_says = np.empty((0, classes), np.float32), np.empty(0, np.float32)
    for column in range(tiling.counts[0]):
        seen = np.flatnonzero(tiling.sees(x, 0, column))
        sums, says = np.zeros((len(seen), classes), np.float32), np.zeros(len(seen), np.float32)
        # The points that wait lie in the left margin of this strip, so all of them are seen again.
        place = np.searchsorted(seen, waiting)
        sums[place], says[place] = waiting_sums, waiting_says
        for row in range(tiling.counts[1]):
            tile = np.flatnonzero(tiling.sees(y[seen], 1, row))
            if not len(tile):
                continue
            inside = seen[tile]
            say = tiling.say(x[inside], 0, column) * tiling.say(y[inside], 1, row)
            sums[tile] += say[:, None] * answer(inside)
            says[tile] += say
        is_last = column == tiling.counts[0] - 1
        waits = np.zeros(len(seen), bool) if is_last else tiling.sees(x[seen], 0, column + 1)
        yield seen[~waits], sums[~waits] / says[~waits, None]
        waiting, waiting_sums, waiting_says = seen[waits], sums[waits], says[waits]
