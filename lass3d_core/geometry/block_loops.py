"""A cloud in blocks of consecutive points, and which of them a view can see, as loops that numba compiles.

point_runs.py does the same with array operations. Blocks are long because skipping a point costs a loop
little; the gain is in not reading blocks that cannot be in view.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from lass3d_core.geometry.point_runs import ROUNDING

BLOCK = 128
"""Points; a multiple of 8."""

_ROUNDING = np.float32(ROUNDING)


class PointBlocks(NamedTuple):
    """columns (3,N) float32: the points, in the order in which loops over them are fast. boxes (6,B) float32:
    of each block the centre and half of the size, NaN where one of its coordinates is."""

    columns: np.ndarray
    boxes: np.ndarray


def point_blocks(points: np.ndarray) -> PointBlocks:
    """Of points (N,3) float32."""
    columns = np.empty((3, len(points)), np.float32)
    ends = np.empty((6, -(-len(points) // BLOCK)), np.float32)
    _cut(points, columns, columns.view(np.int32), ends.view(np.int32))
    _centre(ends)
    return PointBlocks(columns, ends)


@njit(cache=True)
def outside(boxes, planes, margins, found):  # type: ignore[no-untyped-def]
    """Into found (B,) uint8: 1 where no point of the block can lie on the inner side of every plane.

    planes, margins (P,4) float32: what PointRuns.within calls planes, and magnitudes. Vectorised over blocks.
    """
    x, y, z, dx, dy, dz = boxes[0], boxes[1], boxes[2], boxes[3], boxes[4], boxes[5]
    found[:] = 0
    for p in range(len(planes)):
        a, b, c, d = planes[p, 0], planes[p, 1], planes[p, 2], planes[p, 3]
        e, f, g, h = margins[p, 0], margins[p, 1], margins[p, 2], margins[p, 3]
        for k in range(len(x)):
            centre = x[k] * a + y[k] * b + z[k] * c + d
            to_corner = dx[k] * abs(a) + dy[k] * abs(b) + dz[k] * abs(c)
            magnitude = (abs(x[k]) + dx[k]) * e + (abs(y[k]) + dy[k]) * f + (abs(z[k]) + dz[k]) * g + h
            found[k] |= centre + to_corner + _ROUNDING * magnitude < 0


@njit(cache=True)
def _cut(points, columns, bits, ends):  # type: ignore[no-untyped-def]
    """Into columns the points; into ends (6,B) the bits of the least and the largest of each block.

    bits: those of the columns. Whole numbers, for a loop over them is vectorised; NaN lies beyond both ends.
    """
    for axis in range(3):
        for i in range(len(points)):
            columns[axis, i] = points[i, axis]
    for axis in range(3):
        for k in range(ends.shape[1]):
            least, largest = np.int32(0x7FFFFFFF), np.int32(-0x7FFFFFFF)
            part = bits[axis, k * BLOCK : (k + 1) * BLOCK]
            for i in range(len(part)):
                value = _ordered(part[i])
                least = min(least, value)
                largest = max(largest, value)
            ends[axis, k], ends[3 + axis, k] = _ordered(least), _ordered(largest)


@njit(cache=True)
def _ordered(bits):  # type: ignore[no-untyped-def]
    """The bits of a float32 as a whole number of the same order, and back."""
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


@njit(cache=True)
def _centre(ends):  # type: ignore[no-untyped-def]
    """Least and largest become centre and half of the size. Halves first: a sum might overflow."""
    for axis in range(3):
        for k in range(ends.shape[1]):
            least, largest = ends[axis, k] * np.float32(0.5), ends[3 + axis, k] * np.float32(0.5)
            ends[axis, k], ends[3 + axis, k] = least + largest, largest - least
