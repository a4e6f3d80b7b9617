"""A scan in which every direction has been seen by a camera, made of the seen parts of several scans.

Where the cameras look forward alone, four fifths of a step's unlabelled points have no text. Here a slot of
the batch holds the directions that a camera saw of one scan, and beside them those of others, turned about
the sensor until the turn is full: as many points as in a whole scan, nearly all of them with text. With
cameras all around it is the scan as it is. Letters: N points of a scan, B directions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lass3d_core.records import NONE, PairedScan
from train.data.sectors import Sector

DIRECTIONS = 120
"""Three degrees each: wider than the gap between two neighbours of a coarse LiDAR."""

_LEAST_GAIN = 4
"""Directions (12 degrees) that a further scan must add."""

_MOST = 8
"""Scans in a panorama."""


def panorama(first: PairedScan, others: Iterator[PairedScan]) -> list[Sector]:
    """Sectors that lie side by side: the seen one of `first`, unturned, then of as many others as fit.

    Each further scan is turned to where it fills most of what is empty. Decision: seams are left as they are;
    an object that is cut there is cut as it would be by an occlusion. A scan that no camera saw stays whole.
    """
    seen = _seen(first)
    if not seen.any():
        return [Sector.whole(first)]
    sectors, filled = [_cut(first, seen, 0)], seen
    while len(sectors) < _MOST and DIRECTIONS - filled.sum() >= _LEAST_GAIN:
        scan = next(others, None)
        if scan is None:
            break
        seen = _seen(scan)
        steps = _best_turn(seen, ~filled)
        new = np.roll(seen, steps) & ~filled
        if new.sum() < _LEAST_GAIN:
            break
        sectors.append(_cut(scan, np.roll(new, -steps), steps))
        filled = filled | new
    return sectors


def _direction(points: np.ndarray) -> np.ndarray:
    """(N,3) -> (N,) int64: the direction about the sensor, counter-clockwise from behind."""
    share = (np.arctan2(points[:, 1], points[:, 0]) + np.pi) / (2 * np.pi)
    return np.minimum((share * DIRECTIONS).astype(np.int64), DIRECTIONS - 1)


def _seen(scan: PairedScan) -> np.ndarray:
    """The directions (B,) bool in which some point has an image."""
    has_image = scan.pairs.image[:, 0] != NONE
    return np.bincount(_direction(scan.points[has_image]), minlength=DIRECTIONS) > 0


def _best_turn(seen: np.ndarray, empty: np.ndarray) -> int:
    """By how many directions `seen` (B,) is turned to meet most of `empty` (B,): a circular correlation."""
    met = np.fft.irfft(np.fft.rfft(empty) * np.fft.rfft(seen).conj(), DIRECTIONS)
    return int(np.rint(met).argmax())


def _cut(scan: PairedScan, directions: np.ndarray, steps: int) -> Sector:
    rows = np.flatnonzero(directions[_direction(scan.points)])
    return Sector(scan, rows, 2 * np.pi * steps / DIRECTIONS)
