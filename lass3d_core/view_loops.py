"""The functions of lass3d_core/view_arrays.py as loops that numba compiles: the same results to the bit.

Imported where numba is installed, and nowhere else. Arithmetic is that of the arrays, in their order and
precision: no fast-math, for pairs must not depend on what is installed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lass3d_core.geometry import image_from_points
from lass3d_core.point_runs import PointRuns
from lass3d_core.records import Camera
from lass3d_core.view_arrays import cell_bits
from lass3d_core.visibility import Visibility

_BLOCK = 128  # points, a multiple of 8: half of the blocks lie behind the camera, and are passed over


def in_image(camera: Camera, runs: PointRuns, min_depth_m: float) -> tuple[np.ndarray, ...]:
    """See view_arrays."""
    height, width = camera.size_hw
    count = len(runs.points)
    found = _in_image(
        runs.columns,
        image_from_points(camera),
        np.float32(height),
        np.float32(width),
        np.float32(min_depth_m),
        columns := (
            np.empty(count, np.int64),
            np.empty(count, np.int32),
            np.empty(count, np.int32),
            np.empty(count, np.float32),
        ),
    )
    return tuple(column[:found] for column in columns)


def seen_by_zbuffer(
    v: np.ndarray,
    u: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    visibility: Visibility,
    regions: np.ndarray | None,
) -> np.ndarray:
    """See view_arrays."""
    bits = cell_bits(visibility.splat_radius_px)
    rows, stride = (((size - 1) >> bits) + 3 for size in camera.size_hw)  # a border of empty cells
    cells = rows * stride
    near, across = np.empty(cells, np.float32), np.empty(cells, np.float32)
    slack = np.float32(visibility.depth_slack_m)
    cell, limit = _nearest_around(
        v, u, depth, np.float32(1 + visibility.depth_tolerance), slack, bits, stride, near, across
    )
    return _seen(
        (v, u, depth, cell, limit),
        near,
        across,
        np.empty(cells, np.int32),
        stride,
        regions,
        visibility.splat_radius_px,
        1 + visibility.depth_tolerance,
        slack,
        (camera.K[0, 0], camera.K[1, 1], np.tan(np.deg2rad(visibility.grazing_deg))),
    )


@njit(cache=True)
def at_pixels(image, v, u):  # type: ignore[no-untyped-def]
    """See view_arrays."""
    found = np.empty(len(v), image.dtype)
    for i in range(len(v)):
        found[i] = image[v[i], u[i]]
    return found


@njit(cache=True)
def kept(seen, point, v, u, depth):  # type: ignore[no-untyped-def]
    """See view_arrays."""
    count = len(point)
    points, depths = np.empty(count, point.dtype), np.empty(count, depth.dtype)
    vs, us = np.empty(count, v.dtype), np.empty(count, u.dtype)
    place = 0
    for i in range(count):
        points[place], vs[place], us[place], depths[place] = point[i], v[i], u[i], depth[i]
        place += seen[i]
    return points[:place], vs[:place], us[:place], depths[:place]


@njit(cache=True)
def _in_image(columns, matrix, height, width, min_depth_m, found_columns):  # type: ignore[no-untyped-def]
    """Fills the beginning of the found columns; how many points there are."""
    point, v, u, depth = found_columns
    x, y, z = columns[0], columns[1], columns[2]
    count = len(x)
    image, inside = np.empty((3, _BLOCK), np.float32), np.zeros(_BLOCK, np.uint8)
    eights = inside.view(np.uint64)  # most are 0: points that lie together were measured together
    found = 0
    for start in range(0, count, _BLOCK):
        end = min(start + _BLOCK, count)
        if not _any_ahead(x[start:end], y[start:end], z[start:end], matrix, min_depth_m):
            continue
        inside[end - start :] = 0
        _project(x[start:end], y[start:end], z[start:end], matrix, height, width, min_depth_m, image, inside)
        for k in range(len(eights)):
            if not eights[k]:
                continue
            for i in range(8 * k, 8 * k + 8):
                if inside[i]:
                    point[found], depth[found] = start + i, image[2, i]
                    v[found], u[found] = int(image[1, i]), int(image[0, i])
                    found += 1
    return found


@njit(cache=True)
def _any_ahead(x, y, z, matrix, min_depth_m):  # type: ignore[no-untyped-def]
    """Whether a point is deeper than min_depth_m. Vectorised."""
    m20, m21, m22, m23 = matrix[2, 0], matrix[2, 1], matrix[2, 2], matrix[2, 3]
    ahead = 0
    for i in range(len(x)):
        ahead |= x[i] * m20 + y[i] * m21 + z[i] * m22 + m23 > min_depth_m
    return ahead


@njit(cache=True, error_model="numpy")
def _project(x, y, z, matrix, height, width, min_depth_m, image, inside):  # type: ignore[no-untyped-def]
    """Into image (3,n): u, v and depth; into inside (n,): 1 in the image, else 0. Vectorised: no branch."""
    across, down, depth = image[0], image[1], image[2]
    m00, m01, m02, m03 = matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3]
    m10, m11, m12, m13 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3]
    m20, m21, m22, m23 = matrix[2, 0], matrix[2, 1], matrix[2, 2], matrix[2, 3]
    for i in range(len(x)):
        d = x[i] * m20 + y[i] * m21 + z[i] * m22 + m23
        a = (x[i] * m00 + y[i] * m01 + z[i] * m02 + m03) / d
        b = (x[i] * m10 + y[i] * m11 + z[i] * m12 + m13) / d
        across[i], down[i], depth[i] = a, b, d
        inside[i] = (d > min_depth_m) & (a >= 0) & (a < width) & (b >= 0) & (b < height)


@njit(cache=True)
def _nearest_around(v, u, depth, factor, slack, bits, stride, near, across):  # type: ignore[no-untyped-def]
    """Each point's cell and limit. Into near (cells,) the least limit in a cell and the eight around it.

    The cells lie row by row, `stride` from one row to the next, with a border of empty ones. across: memory.
    """
    near.fill(np.float32(np.inf))
    cell, limit = np.empty(len(v), np.int64), np.empty(len(v), np.float32)
    for i in range(len(v)):
        cell[i] = ((v[i] >> bits) + 1) * stride + (u[i] >> bits) + 1
        limit[i] = depth[i] * factor + slack
        near[cell[i]] = _less(near[cell[i]], limit[i])
    across[0] = across[-1] = np.inf
    _least_of_three(near, 1, across)
    _least_of_three(across, stride, near)
    return cell, limit


@njit(cache=True)
def _least_of_three(values, apart, least):  # type: ignore[no-untyped-def]
    """Each value and those `apart` before and after it. Slices, for index minus `apart` is not vectorised."""
    before, here, after = values[: -2 * apart], values[apart:-apart], values[2 * apart :]
    middle = least[apart:-apart]
    for k in range(len(here)):
        middle[k] = _less(here[k], _less(before[k], after[k]))


@njit(cache=True)
def _less(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@njit(cache=True)
def _seen(pixels, near, far, first, stride, regions, radius, least, slack, optics):  # type: ignore[no-untyped-def]
    """Every suspect, which lies behind the nearest around it, is held against the points around it that lie
    before the farthest suspect there. near, far, first (cells,): the least limits, and memory."""
    _, _, depth, cell, limit = pixels
    suspect = _beyond(depth, near, cell, np.float32(1))
    far.fill(-np.float32(np.inf))
    for i in suspect:
        for row in (cell[i] - stride, cell[i], cell[i] + stride):
            for k in (row - 1, row, row + 1):
                far[k] = max(far[k], depth[i])
    following = _chains(cell, _beyond(limit, far, cell, np.float32(-1)), first)
    seen = np.ones(len(cell), np.bool_)
    for i in suspect:
        for row in (cell[i] - stride, cell[i], cell[i] + stride):
            for k in (row - 1, row, row + 1):
                j = first[k]
                while j >= 0 and seen[i]:
                    if limit[j] < depth[i] and _hides(j, i, pixels, regions, radius, least, slack, optics):
                        seen[i] = False
                    j = following[j]
    return seen


@njit(cache=True)
def _beyond(values, bounds, cell, sign):  # type: ignore[no-untyped-def]
    """The points whose value (n,) is above the bound (cells,) of their cell, for sign -1 below it.

    Most are not, so there is no branch.
    """
    found = np.empty(len(cell), np.int64)
    place = 0
    for i in range(len(cell)):
        found[place] = i
        place += sign * values[i] > sign * bounds[cell[i]]
    return found[:place]


@njit(cache=True)
def _chains(cell, points, first):  # type: ignore[no-untyped-def]
    """`points` as chains: into first (cells,) the first one of each cell; returned, the one following each.

    -1 ends a chain.
    """
    first.fill(-1)
    following = np.empty(len(cell), np.int64)
    for i in points:
        following[i] = first[cell[i]]
        first[cell[i]] = i
    return following


@njit(cache=True)
def _hides(before, behind, pixels, regions, radius, least, slack, optics):  # type: ignore[no-untyped-def]
    v, u, depth, _, _ = pixels
    focal_x, focal_y, steep = optics
    down, across = abs(v[before] - v[behind]), abs(u[before] - u[behind])
    if down > radius or across > radius:
        return False
    if regions is not None and regions[v[before], u[before]] != regions[v[behind], u[behind]]:
        return False
    x, y = across / focal_x, down / focal_y
    allowed = np.float32(least + np.sqrt(x * x + y * y) / steep)
    return depth[behind] > depth[before] * allowed + slack
