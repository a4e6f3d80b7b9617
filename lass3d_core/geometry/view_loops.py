"""The functions of view_arrays.py as loops that numba compiles: the same results to the bit.

Imported where numba is installed, and nowhere else. Arithmetic is that of the arrays, in their order and
precision: no fast-math, for pairs must not depend on what is installed. Places in an array are unsigned
where they are read from another array: numba lets a negative one count from the end, and that is not free.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lass3d_core.geometry.block_loops import BLOCK, outside, point_blocks
from lass3d_core.geometry.point_runs import PointRuns
from lass3d_core.geometry.projection import image_borders, image_from_points
from lass3d_core.geometry.view_arrays import cell_bits
from lass3d_core.geometry.visibility import Visibility
from lass3d_core.records import Camera


def in_image(camera: Camera, runs: PointRuns, min_depth_m: float) -> tuple[np.ndarray, ...]:
    """See view_arrays."""
    height, width = camera.size_hw
    count = len(runs.points)
    columns_and_boxes = runs.prepared(point_blocks)
    matrix = image_from_points(camera)
    planes, magnitudes = image_borders(matrix, camera.size_hw)
    found = _in_image(
        *columns_and_boxes,
        planes.astype(np.float32),
        magnitudes.astype(np.float32),
        matrix,
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
    near = np.empty(cells, np.float32)
    slack = np.float32(visibility.depth_slack_m)
    cell, limit = _nearest_around(
        v, u, depth, np.float32(1 + visibility.depth_tolerance), slack, bits, stride, near
    )
    return _seen(
        (v, u, depth, cell, limit),
        near,
        np.empty(cells, np.int32),
        stride,
        regions,
        visibility.splat_radius_px,
        1 + visibility.depth_tolerance,
        slack,
        (camera.K[0, 0], camera.K[1, 1], np.tan(np.deg2rad(visibility.grazing_deg))),
    )


def at_pixels(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """See view_arrays."""
    if image.flags.f_contiguous:
        image, v, u = image.T, u, v
    return _at_places(np.ascontiguousarray(image).reshape(-1), np.uint32(image.shape[1]), v, u)


@njit(cache=True)
def kept(seen, point, v, u, depth):  # type: ignore[no-untyped-def]
    """See view_arrays."""
    count = len(point)
    points, depths = np.empty(count, point.dtype), np.empty(count, depth.dtype)
    vs, us = np.empty(count, v.dtype), np.empty(count, u.dtype)
    place = np.uint64(0)
    for i in range(count):
        points[place], vs[place], us[place], depths[place] = point[i], v[i], u[i], depth[i]
        place += np.uint64(seen[i])
    return points[:place], vs[:place], us[:place], depths[:place]


@njit(cache=True)
def _at_places(pixels, stride, v, u):  # type: ignore[no-untyped-def]
    found = np.empty(len(v), pixels.dtype)
    for i in range(len(v)):
        found[i] = pixels[np.uint32(v[i]) * stride + np.uint32(u[i])]
    return found


@njit(cache=True)
def _in_image(columns, boxes, planes, margins, matrix, height, width, min_depth_m, found_columns):  # type: ignore[no-untyped-def]
    """Fills the beginning of the found columns; how many points there are."""
    point, v, u, depth = found_columns
    x, y, z = columns[0], columns[1], columns[2]
    passed_over = np.empty(boxes.shape[1], np.uint8)
    outside(boxes, planes, margins, passed_over)
    image, inside = np.empty((3, BLOCK), np.float32), np.zeros(BLOCK, np.uint8)
    eights = inside.view(np.uint64)  # most are 0: points that lie together were measured together
    found = np.uint64(0)
    for block in range(len(passed_over)):
        if passed_over[block]:
            continue
        start, end = block * BLOCK, min((block + 1) * BLOCK, len(x))
        inside[end - start :] = 0
        _project(x[start:end], y[start:end], z[start:end], matrix, height, width, min_depth_m, image, inside)
        for k in range(len(eights)):
            if not eights[k]:
                continue
            for i in range(8 * k, 8 * k + 8):
                if inside[i]:
                    point[found], depth[found] = start + i, image[2, i]
                    v[found], u[found] = int(image[1, i]), int(image[0, i])
                    found += np.uint64(1)
    return found


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
def _nearest_around(v, u, depth, factor, slack, bits, stride, near):  # type: ignore[no-untyped-def]
    """Each point's cell and limit. Into near (cells,) the least limit in a cell and the eight around it.

    The cells lie row by row, `stride` from one row to the next, with a border of empty ones.
    """
    near.fill(np.float32(np.inf))
    cell, limit = np.empty(len(v), np.uint32), np.empty(len(v), np.float32)
    for i in range(len(v)):
        here, bound = np.uint32(((v[i] >> bits) + 1) * stride + (u[i] >> bits) + 1), depth[i] * factor + slack
        cell[i], limit[i] = here, bound
        near[here] = _less(near[here], bound)
    _least_around(near, stride)
    return cell, limit


@njit(cache=True)
def _least_around(values, stride):  # type: ignore[no-untyped-def]
    """In place, of each value but those of the border the least of it and the eight around it.

    Three rows at a time, for a second array as large as the first would not stay in the cache.
    """
    beside = np.empty((3, stride), values.dtype)
    before, here, after = beside[0], beside[1], beside[2]
    _least_beside(values[:stride], before)
    _least_beside(values[stride : 2 * stride], here)
    for start in range(stride, len(values) - stride, stride):
        _least_beside(values[start + stride : start + 2 * stride], after)
        row = values[start : start + stride]
        for k in range(stride):
            row[k] = _less(here[k], _less(before[k], after[k]))
        before, here, after = here, after, before


@njit(cache=True)
def _least_beside(row, least):  # type: ignore[no-untyped-def]
    """Of each value but the first and the last the least of it and its neighbours. Slices are vectorised."""
    before, here, after, middle = row[:-2], row[1:-1], row[2:], least[1:-1]
    least[0], least[-1] = row[0], row[-1]
    for k in range(len(here)):
        middle[k] = _less(here[k], _less(before[k], after[k]))


@njit(cache=True)
def _less(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@njit(cache=True)
def _seen(pixels, near, first, stride, regions, radius, least, slack, optics):  # type: ignore[no-untyped-def]
    """Every suspect, which lies behind the nearest around it, is held against the points around it that lie
    before the farthest suspect there. near (cells,): the least limits, and memory; first (cells,): memory.
    """
    _, _, depth, cell, limit = pixels
    suspect = _beyond(depth, near, cell, np.float32(1))
    far = near  # its memory: what is not in the cache yet would cost more than all the rest
    far.fill(-np.float32(np.inf))
    for i in suspect:
        for k in _around(cell[i], stride):
            far[k], first[k] = max(far[k], depth[i]), -1
    following = _chains(cell, _beyond(limit, far, cell, np.float32(-1)), first)
    seen = np.ones(len(cell), np.bool_)
    for i in suspect:
        for k in _around(cell[i], stride):
            j = first[k]
            while j >= 0 and seen[i]:
                if limit[j] < depth[i] and _hides(j, i, pixels, regions, radius, least, slack, optics):
                    seen[i] = False
                j = following[j]
    return seen


@njit(cache=True)
def _around(cell, stride):  # type: ignore[no-untyped-def]
    """A cell and the eight around it."""
    one = np.uint64(1)
    up, here, down = np.uint64(cell - stride), np.uint64(cell), np.uint64(cell + stride)
    return up - one, up, up + one, here - one, here, here + one, down - one, down, down + one


@njit(cache=True)
def _beyond(values, bounds, cell, sign):  # type: ignore[no-untyped-def]
    """The points whose value (n,) is above the bound (cells,) of their cell, for sign -1 below it.

    Most are not, so there is no branch.
    """
    found = np.empty(len(cell), np.uint32)
    place = np.uint64(0)
    for i in range(len(cell)):
        found[place] = i
        place += np.uint64(sign * values[i] > sign * bounds[cell[i]])
    return found[:place]


@njit(cache=True)
def _chains(cell, points, first):  # type: ignore[no-untyped-def]
    """`points` as chains: into first (cells,) the first one of each cell; returned, the one following each.

    -1 ends a chain; it must stand in `first` for the cells of the points.
    """
    following = np.empty(len(cell), np.int32)
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
