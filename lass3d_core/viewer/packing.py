"""Numbers of points as text for a page: quantised, deflated, in base64. unpacking.js reads it.

Letters: S points that are shown.
"""

from __future__ import annotations

import base64
import zlib

import numpy as np

LEAST_STEP_M = 0.005
"""No finer grid is kept: a scanner errs by two centimetres, and noise does not shrink."""

_LEVELS = 65535


def quantise(points: np.ndarray) -> tuple[np.ndarray, tuple[float, ...], float]:
    """Put points (S,3), metres, on a cubic grid of at most 2^16 levels that spans them.

    Returns levels (S,3) uint16, origin and step in metres. A coordinate is origin + step * level, off by at
    most step / 2. The step is LEAST_STEP_M unless the points span more than 327 m.
    """
    points = points.astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    step = max(float((high - low).max()) / _LEVELS, LEAST_STEP_M)
    levels = np.rint((points - low) / step).clip(0, _LEVELS).astype(np.uint16)
    return levels, tuple(low.tolist()), step


def packed(array: np.ndarray) -> str:
    """`array` (S,) uint8 or uint16. Of uint16 all high bytes come first, then all low ones."""
    if array.dtype == np.uint8:
        return _deflated(array)
    return _deflated(np.stack([array >> 8, array & 255]).astype(np.uint8))


def packed_levels(levels: np.ndarray) -> str:
    """`levels` (S,3) uint16, each axis as differences of neighbours modulo 2^16; small ones, of either sign,
    become small numbers (0, -1, 1, -2, ... -> 0, 1, 2, 3, ...).
    """
    # uint16 wraps around, and as int16 the step is the shorter way.
    signed = np.diff(levels, axis=0, prepend=np.uint16(0)).view(np.int16).T.astype(np.int64).ravel()
    return packed(np.where(signed < 0, -2 * signed - 1, 2 * signed).astype(np.uint16))


def _deflated(array: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode("ascii")
