"""The vote on the phrase of each point: ballots of several scans, added up in voxels of the world.

A view's ballots lie at the points that it sees (`ballots.py`), in voxels of `voxel_m`. A point takes the
votes of its voxel, those of points beside it and of other scans too. It keeps the `phrases` strongest
phrases, each with its share of all the votes there.
Decision: a vote counts where both scans have a point in the voxel, and nowhere else. This is the test for
moving things, and it needs no label. A car that drove across a road named voxels at the height of a car. The
road under it has no point there after the car has left, so it takes none of those votes. A parked car has
points in the same voxels from every side, so its hidden side is named by the scan that saw it. Where a tyre
met the road, a voxel has points of both, and the views of the empty road have to outvote the car.
Decision: shares are of all votes on the voxel, also of those for phrases that are not kept.
Decision: a share is rounded down to 255ths, which keeps the order, and the sum at most 1.

Letters: N points of the scan at hand, M voxels, R rows of votes, K phrases that a point keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.manifest.schema import VoteSpec
from lass3d_core.records import NONE, WHOLE_SHARE, PointVotes
from preprocess.stages.ballots import Ballots
from preprocess.stages.pairing import MOST_SLOTS

_MOST_CELLS = 2**62  # that a key of eight bytes can number
_FARTHEST_CELL = 2.0**52  # beyond it a double knows no halves
_ROUNDING = 1e-9  # of a sum of doubles: it must not take a 255th away


@dataclass(frozen=True)
class CellVotes:
    """The ballots of one scan, added up by voxel, phrase and image.

    cell (R,3) int64: the voxel. phrase, image (R,) int64: slots in `phrases` and `image_ids`.
    weight, score (R,) float64: sums over the ballots. ballots (R,) int64: how many.
    """

    cell: np.ndarray
    phrase: np.ndarray
    image: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    ballots: np.ndarray
    phrases: tuple[str, ...]
    image_ids: tuple[str, ...]


def cells_of(points: np.ndarray, world_from_points: np.ndarray, voxel_m: float) -> np.ndarray:
    """The voxels (N,3) int64 of points (N,3) float32: floor(world_from_points * point / voxel_m).

    Raises DataError if the voxels are too small to be numbered.
    """
    world = points.astype(np.float64) @ world_from_points[:3, :3].T + world_from_points[:3, 3]
    cells = np.floor(world / voxel_m)
    if cells.size and np.abs(cells).max() > _FARTHEST_CELL:
        raise _too_small()
    return cells.astype(np.int64)


def added_up(ballots: Ballots, cells: np.ndarray) -> CellVotes:
    """Add up ballots by voxel, phrase and image. cells (N,3) int64: the voxels of the scan's points."""
    cell = cells[ballots.point]
    grid = _Grid.of(cell)
    place = np.unique(grid.number(cell), return_inverse=True)[1]
    images = max(len(ballots.image_ids), 1)
    key = (place * max(len(ballots.phrases), 1) + ballots.phrase) * images + ballots.image
    order, start = _groups(key)
    first = order[start]
    weight, score = (_sums(column[order], start) for column in (ballots.weight, ballots.score))
    count = np.diff(start, append=len(order))
    columns = cell[first], ballots.phrase[first], ballots.image[first], weight, score, count
    return CellVotes(*columns, ballots.phrases, ballots.image_ids)


def counted(
    cells: np.ndarray, window: Sequence[CellVotes], spec: VoteSpec
) -> tuple[PointVotes, tuple[str, ...]]:
    """Count the votes of a window of scans on N points.

    cells (N,3) int64: the voxels of the points. window: the votes of each scan, the points' own included.
    Returns the votes, and the phrases that their slots count into: those that a point keeps, sorted.
    Of phrases with equal votes the first in alphabetical order leads. A point keeps none of its phrases if
    the margin of the shares as stored is below `min_margin`, whether the second is kept or not.
    Raises DataError.
    """
    grid = _Grid.of(cells)
    known, here = np.unique(grid.number(cells), return_inverse=True)
    phrases = sorted({phrase for votes in window for phrase in votes.phrases})
    images = list(dict.fromkeys(image_id for votes in window for image_id in votes.image_ids))
    rows = _rows_at(known, grid, window, phrases, images)
    strongest = _strongest(rows, len(known), max(spec.phrases, 2))  # the margin needs two
    views = _distinct_images(rows, len(known), len(images))
    share = np.floor(WHOLE_SHARE * strongest.share + _ROUNDING).astype(np.uint8)
    score = np.rint(WHOLE_SHARE * strongest.score.clip(0, 1)).astype(np.uint8)
    lead = (share[:, 0] - share[:, 1]) / np.float32(WHOLE_SHARE)
    unsure = lead < np.float32(spec.min_margin)
    strongest.phrase[unsure] = NONE
    share[unsure], score[unsure], views[unsure] = 0, 0, 0
    slot, names = _renumbered(strongest.phrase[:, : spec.phrases], phrases)
    return PointVotes(slot[here], share[here, : spec.phrases], score[here], views[here]), names


class _Grid(NamedTuple):
    """A box of voxels, numbered. low (3,) int64: its first voxel. shape (3,) int64: voxels along an axis."""

    low: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, cells: np.ndarray) -> _Grid:
        """The box around voxels (n,3). Raises DataError if it has too many voxels."""
        if not len(cells):
            return cls(np.zeros(3, np.int64), np.zeros(3, np.int64))
        low = cells.min(axis=0)
        shape = cells.max(axis=0) - low + 1
        if np.prod(shape.astype(object)) > _MOST_CELLS:
            raise _too_small()
        return cls(low, shape)

    def holds(self, cells: np.ndarray) -> np.ndarray:
        """Which voxels (n,3) lie in the box: (n,) bool."""
        return ((cells >= self.low) & (cells < self.low + self.shape)).all(axis=1)

    def number(self, cells: np.ndarray) -> np.ndarray:
        """Numbers (n,) int64 of voxels (n,3) in the box."""
        x, y, z = (cells - self.low).T
        number: np.ndarray = (x * self.shape[1] + y) * self.shape[2] + z
        return number


class _Rows(NamedTuple):
    """Votes (R,) on the M voxels of the scan at hand; each column as in CellVotes, `voxel` below M."""

    voxel: np.ndarray
    phrase: np.ndarray
    image: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    ballots: np.ndarray


def _rows_at(
    known: np.ndarray, grid: _Grid, window: Sequence[CellVotes], phrases: list[str], images: list[str]
) -> _Rows:
    """The votes of the window on the voxels `known` (M,), ascending numbers in `grid`."""
    phrase_slot = {phrase: slot for slot, phrase in enumerate(phrases)}
    image_slot = {image_id: slot for slot, image_id in enumerate(images)}
    parts = [tuple(np.empty(0, kind) for kind in "lllddl")]
    for votes in window:
        near = np.flatnonzero(grid.holds(votes.cell))
        number = grid.number(votes.cell[near])
        voxel = np.searchsorted(known, number).clip(max=len(known) - 1)
        hit = known[voxel] == number
        near, voxel = near[hit], voxel[hit]
        phrase = np.array([phrase_slot[one] for one in votes.phrases], np.int64)[votes.phrase[near]]
        image = np.array([image_slot[one] for one in votes.image_ids], np.int64)[votes.image[near]]
        parts.append((voxel, phrase, image, votes.weight[near], votes.score[near], votes.ballots[near]))
    return _Rows(*(np.concatenate(column) for column in zip(*parts)))


class _Strongest(NamedTuple):
    """The K strongest phrases of M voxels.

    phrase (M,K) int64, NONE where there are fewer. share (M,K) float64: of all votes. score (M,) float64:
    mean over the ballots for the strongest.
    """

    phrase: np.ndarray
    share: np.ndarray
    score: np.ndarray


def _strongest(rows: _Rows, voxels: int, kept: int) -> _Strongest:
    found = _Strongest(np.full((voxels, kept), NONE), np.zeros((voxels, kept)), np.zeros(voxels))
    order, start = _groups(rows.voxel * (rows.phrase.max(initial=0) + 1) + rows.phrase)
    voxel, phrase = rows.voxel[order[start]], rows.phrase[order[start]]
    columns = rows.weight, rows.score, rows.ballots
    weight, score, ballots = (_sums(column[order], start) for column in columns)
    # Ascending by voxel, the heaviest first; of equal ones the first phrase, since the sort is stable.
    order = np.lexsort((-weight, voxel))
    voxel, phrase, weight = voxel[order], phrase[order], weight[order]
    _, start = _groups(voxel)
    size = np.diff(start, append=len(voxel))
    share = weight / np.repeat(_sums(weight, start), size)
    rank = np.arange(len(voxel)) - np.repeat(start, size)
    top = rank < kept
    found.phrase[voxel[top], rank[top]] = phrase[top]
    found.share[voxel[top], rank[top]] = share[top]
    found.score[voxel[start]] = (score / np.maximum(ballots, 1))[order][start]
    return found


def _distinct_images(rows: _Rows, voxels: int, images: int) -> np.ndarray:
    """How many images voted on each voxel: (M,) uint8, at most 255."""
    pairs = np.unique(rows.voxel * max(images, 1) + rows.image)
    return np.bincount(pairs // max(images, 1), minlength=voxels).clip(max=255).astype(np.uint8)


def _renumbered(slot: np.ndarray, phrases: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Slots (M,K) int16 into the phrases that occur, and those, in order; NONE stays. Raises DataError."""
    occur = np.unique(slot[slot != NONE])
    if len(occur) > MOST_SLOTS:
        raise DataError(f"{len(occur)} phrases in one scan; at most {MOST_SLOTS} can be told apart")
    new = np.full(len(phrases) + 1, NONE, np.int16)  # NONE is -1, so it takes the last row
    new[occur] = np.arange(len(occur))
    return new[slot], tuple(phrases[number] for number in occur)


def _groups(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order (n,) that puts equal keys together, ascending, and where each group starts in it."""
    order = np.argsort(key, kind="stable")
    ascending = key[order]
    return order, np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]])[: len(key)])


def _sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The sum of each group of values (n,) that starts at `start`."""
    return np.add.reduceat(values, start) if len(start) else values[:0]


def _too_small() -> DataError:
    return DataError("pairs.vote.voxel_m is too small for the scans; a voxel of 0.1 to 0.5 m is usual")
