"""Blocks of consecutive points, and which blocks a view cannot see, in compiled loops.

A scanner measures neighbouring points one after another, so a block is small in space, and a block whose box
lies outside of a view is skipped as a whole. A cloud in random order costs time, never a point.
Import this module inside a function only: numba takes a second to load, and most commands project nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

# Long blocks: skipping a point costs a loop little, the gain is in not reading blocks that are out of view.
BLOCK = 128  # points in a block; a multiple of 8

# Of the sum of the magnitudes: a hundred times what single precision loses in a sum of four products.
_ROUNDING = np.float32(1e-5)


def compiled(function: Callable[..., Any]) -> Any:
    """numba's njit, with the machine code kept on disk if there is a folder for it.

    Division by zero gives infinity or NaN, as in numpy. No fast-math: the pairs must be the same on every
    machine.
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        # numba finds no folder that it can write to: each process compiles for itself, in some seconds.
        return njit(error_model="numpy")(function)


class PointBlocks(NamedTuple):
    """A cloud in blocks.

    columns (3,N) float32: the points, one row per axis, which is the order that the loops read fast.
    boxes (6,B) float32: centre and half size of each block; NaN if a coordinate of the block is NaN.
    """

    columns: np.ndarray
    boxes: np.ndarray


def point_blocks(points: np.ndarray) -> PointBlocks:
    """Cut points (N,3) float32 into blocks."""
    columns = np.empty((3, len(points)), np.float32)
    ends = np.empty((6, -(-len(points) // BLOCK)), np.float32)
    _fill_columns_and_ends(points, columns, columns.view(np.int32), ends.view(np.int32))
    _ends_to_centre_and_half(ends)
    return PointBlocks(columns, ends)


@compiled
def outside(boxes, planes, margins, found):  # type: ignore[no-untyped-def]
    """Write into found (B,) uint8: 1 if no point of the block can lie inside every plane, else 0.

    planes (P,4) float32: a point is inside if its product with (x, y, z, 1) may be >= 0, in whatever order
    single precision computes it.
    margins (P,4) float32: for each coefficient, at least the sum of the magnitudes of its terms.
    """
    # The inner loop is over blocks and has no branch, so the compiler vectorises it.
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


@compiled
def _fill_columns_and_ends(points, columns, bits, ends):  # type: ignore[no-untyped-def]
    """Write the points into columns, and into ends (6,B) the bits of the smallest and largest of each block.

    bits: columns seen as int32.
    """
    # Minimum and maximum are taken of integers, because a loop over them is vectorised. NaN becomes the
    # smallest or the largest integer, so that the block's end is NaN.
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


@compiled
def _ordered(bits):  # type: ignore[no-untyped-def]
    """Turn the bits of a float32 into an integer of the same order, and back."""
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


@compiled
def _ends_to_centre_and_half(ends):  # type: ignore[no-untyped-def]
    """Replace smallest and largest by centre and half size."""
    for axis in range(3):
        for k in range(ends.shape[1]):
            # Halved before they are added: the sum of two large numbers may overflow.
            least, largest = ends[axis, k] * np.float32(0.5), ends[3 + axis, k] * np.float32(0.5)
            ends[axis, k], ends[3 + axis, k] = least + largest, largest - least
