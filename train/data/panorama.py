"""Panorama: a scan whose every direction a camera has seen, assembled from the seen parts of several scans.

With a front camera alone, four fifths of a step's unlabelled points have no text. A panorama keeps the
directions that the cameras of one scan saw, and fills the others with seen parts of further scans, turned
about the sensor. It has about as many points as a whole scan, and nearly all of them have text.
If cameras look all around, it is the scan itself.

Letters: N points of a scan, B directions, K points of a sector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.records import NONE, PairedScan, PointTextPairs, PointVotes
from train.data.text_batches import votes_of

DIRECTIONS = 120  # of 3 degrees each: wider than the gap between two neighbours of a coarse LiDAR
MIN_GAIN = 4  # directions (12 degrees) that a further scan must add
MAX_SCANS = 8  # in one panorama


@dataclass(frozen=True)
class Sector:
    """The points of a scan that a panorama takes."""

    scan: PairedScan
    rows: np.ndarray  # (K,) int64: indices of the points, ascending
    turn: float  # radians about +z, counter-clockwise

    @property
    def points(self) -> np.ndarray:
        """The turned points, (K,3) float32 metres."""
        points = self.scan.points[self.rows]
        if not self.turn:
            return points
        c, s = np.cos(self.turn), np.sin(self.turn)
        turned: np.ndarray = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
        return turned


def panorama(first: PairedScan, others: Iterator[PairedScan]) -> PairedScan:
    """The seen sector of `first`, unturned, and beside it sectors of as many of `others` as fit.

    The result has no labels and the scan id of `first`. A scan that no camera saw stays as it is.
    """
    return merge(sectors_of(first, others)) if _seen(first).any() else first


def sectors_of(first: PairedScan, others: Iterator[PairedScan]) -> list[Sector]:
    """Sectors side by side, of at most MAX_SCANS scans.

    Each further scan is turned so that it fills most of the empty directions.
    Decision: nothing is done about seams. An object that is cut there looks like one that is partly occluded.
    """
    filled = _seen(first)
    sectors = [_cut(first, filled, 0)]
    while len(sectors) < MAX_SCANS and DIRECTIONS - filled.sum() >= MIN_GAIN:
        scan = next(others, None)
        if scan is None:
            break
        seen = _seen(scan)
        steps = _best_turn(seen, ~filled)
        new = np.roll(seen, steps) & ~filled
        if new.sum() < MIN_GAIN:
            break
        sectors.append(_cut(scan, np.roll(new, -steps), steps))
        filled = filled | new
    return sectors


def merge(sectors: Sequence[Sector]) -> PairedScan:
    """The points of all sectors as one scan without labels. Only the best view of each point is kept."""
    image_ids: list[str] = []
    phrases: list[str] = []
    image, votes = [], []
    for sector in sectors:
        pairs, rows = sector.scan.pairs, sector.rows
        image.append(_shifted(pairs.image[rows, :1], len(image_ids)))
        votes.append(_taken(votes_of(pairs), rows, len(phrases)))
        image_ids += pairs.image_ids
        phrases += pairs.phrases
    points = np.concatenate([sector.points for sector in sectors])
    features = np.concatenate([sector.scan.features[sector.rows] for sector in sectors])
    columns = (np.concatenate([getattr(one, name) for one in votes]) for name in vars(votes[0]))
    merged = PointVotes(*columns)
    names = tuple(image_ids), tuple(phrases)
    text = PointTextPairs(np.concatenate(image), merged.phrase[:, 0].copy(), *names, merged)
    return PairedScan(sectors[0].scan.scan_id, points, features, None, text)


def _shifted(slots: np.ndarray, offset: int) -> np.ndarray:
    """`slots` int16 plus `offset`; NONE stays NONE."""
    return np.where(slots == NONE, NONE, slots + offset).astype(np.int16)


def _taken(votes: PointVotes, rows: np.ndarray, offset: int) -> PointVotes:
    phrase = _shifted(votes.phrase[rows], offset)
    return PointVotes(phrase, votes.share[rows], votes.score[rows], votes.views[rows])


def _direction(points: np.ndarray) -> np.ndarray:
    """The direction about the sensor of points (N,3), (N,) int64, counter-clockwise from behind."""
    share = (np.arctan2(points[:, 1], points[:, 0]) + np.pi) / (2 * np.pi)
    return np.minimum((share * DIRECTIONS).astype(np.int64), DIRECTIONS - 1)


def _seen(scan: PairedScan) -> np.ndarray:
    """The directions (B,) bool in which some point has an image, or most have a phrase by the vote."""
    direction, pairs = _direction(scan.points), scan.pairs
    has_image, named = pairs.image[:, 0] != NONE, pairs.entity != NONE
    met, of_image, of_phrase = (
        np.bincount(direction[rows], minlength=DIRECTIONS) for rows in (slice(None), has_image, named)
    )
    return (of_image > 0) | (2 * of_phrase > met)


def _best_turn(seen: np.ndarray, empty: np.ndarray) -> int:
    """The number of directions by which to turn `seen` (B,) so that it meets most of `empty` (B,)."""
    met = np.fft.irfft(np.fft.rfft(empty) * np.fft.rfft(seen).conj(), DIRECTIONS)  # circular correlation
    return int(np.rint(met).argmax())


def _cut(scan: PairedScan, directions: np.ndarray, steps: int) -> Sector:
    rows = np.flatnonzero(directions[_direction(scan.points)])
    return Sector(scan, rows, 2 * np.pi * steps / DIRECTIONS)
