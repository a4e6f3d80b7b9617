"""Which points lie in a view, and which of them another point hides, in compiled loops.

Import this module inside a function only, see point_blocks.py. The tests compare every function with brute
force, to the bit, so the order and the precision of the arithmetic are fixed.
"""

# Indices that are read from an array are unsigned: numba lets a negative index count from the end, and the
# check for it costs time.

from __future__ import annotations

import numpy as np

from lass3d_core.geometry.point_blocks import BLOCK, PointBlocks, compiled, outside
from lass3d_core.geometry.projection import image_borders, image_from_points
from lass3d_core.geometry.visible_pixels import Visibility
from lass3d_core.records import Camera

# log2 of the smallest side of a z-buffer cell, pixels: there would be more cells than points otherwise.
_SMALLEST_CELL = 2


def in_image(camera: Camera, blocks: PointBlocks, min_depth_m: float) -> tuple[np.ndarray, ...]:
    """Find the points in the image that are deeper than min_depth_m.

    The results of `project` and `pixels_in_image`, to the bit.
    Returns point (n,) int64 ascending, v and u (n,) int32, depth (n,) float32 metres.
    """
    height, width = camera.size_hw
    matrix = image_from_points(camera)
    planes, magnitudes = image_borders(matrix, camera.size_hw)
    count = blocks.columns.shape[1]
    columns = tuple(np.empty(count, dtype) for dtype in (np.int64, np.int32, np.int32, np.float32))
    borders = planes.astype(np.float32), magnitudes.astype(np.float32)
    limits = np.float32(height), np.float32(width), np.float32(min_depth_m)
    found = _in_image(*blocks, *borders, matrix, *limits, columns)
    return tuple(column[:found] for column in columns)


def seen_by_zbuffer(
    v: np.ndarray,
    u: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    visibility: Visibility,
    regions: np.ndarray | None,
) -> np.ndarray:
    """Find the points of one image that no other point hides: (n,) bool. The rule is in Visibility.

    v, u (n,) int32. depth (n,) float32 metres. regions (H,W) int: points hide others of their region alone.
    Every pair of points at most splat_radius_px apart is decided alike, whatever the order of the points.
    """
    # Few points can be in such a pair. Cells are at least as wide as the radius. A point is a suspect if it
    # lies behind the nearest point of its own and the eight cells around it; only a point that lies before
    # the farthest suspect around it can hide anything.
    bits = max(_SMALLEST_CELL, (visibility.splat_radius_px - 1).bit_length())
    rows, stride = (((size - 1) >> bits) + 3 for size in camera.size_hw)  # with a border of empty cells
    near, first = np.empty(rows * stride, np.float32), np.empty(rows * stride, np.int32)
    least, slack = 1 + visibility.depth_tolerance, np.float32(visibility.depth_slack_m)
    cell, limit = _nearest_around(v, u, depth, np.float32(least), slack, bits, stride, near)
    pixels, radius = (v, u, depth, cell, limit), visibility.splat_radius_px
    optics = camera.K[0, 0], camera.K[1, 1], np.tan(np.deg2rad(visibility.grazing_deg))
    return _seen(pixels, near, first, stride, regions, radius, least, slack, optics)


def at_pixels(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """`image` (H,W) at row v and column u of each pixel, (N,) integers. They must lie inside."""
    if image.flags.f_contiguous:
        image, v, u = image.T, u, v
    return _at_places(np.ascontiguousarray(image).reshape(-1), np.uint32(image.shape[1]), v, u)


@compiled
def compress(seen, point, v, u, depth):  # type: ignore[no-untyped-def]
    """Keep of each column (n,) the entries that are marked in seen (n,) bool, as np.compress does."""
    count = len(point)
    points, depths = np.empty(count, point.dtype), np.empty(count, depth.dtype)
    vs, us = np.empty(count, v.dtype), np.empty(count, u.dtype)
    place = np.uint64(0)
    for i in range(count):
        points[place], vs[place], us[place], depths[place] = point[i], v[i], u[i], depth[i]
        place += np.uint64(seen[i])
    return points[:place], vs[:place], us[:place], depths[:place]


@compiled
def _at_places(pixels, stride, v, u):  # type: ignore[no-untyped-def]
    found = np.empty(len(v), pixels.dtype)
    for i in range(len(v)):
        found[i] = pixels[np.uint32(v[i]) * stride + np.uint32(u[i])]
    return found


@compiled
def _in_image(columns, boxes, planes, margins, matrix, height, width, min_depth_m, found_columns):  # type: ignore[no-untyped-def]
    """Write the points in the image to the beginning of found_columns; returns how many there are."""
    point, v, u, depth = found_columns
    x, y, z = columns[0], columns[1], columns[2]
    skipped = np.empty(boxes.shape[1], np.uint8)
    outside(boxes, planes, margins, skipped)
    image, inside = np.empty((3, BLOCK), np.float32), np.zeros(BLOCK, np.uint8)
    eights = inside.view(np.uint64)  # eight flags at once: most are 0, for neighbours are in or out together
    found = np.uint64(0)
    for block in range(len(skipped)):
        if skipped[block]:
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


@compiled
def _project(x, y, z, matrix, height, width, min_depth_m, image, inside):  # type: ignore[no-untyped-def]
    """Write u, v and depth into image (3,n), and into inside (n,) 1 if a point is in the image, else 0."""
    # No branch, so the compiler vectorises the loop.
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


@compiled
def _nearest_around(v, u, depth, factor, slack, bits, stride, near):  # type: ignore[no-untyped-def]
    """Return each point's cell, and its limit: the depth beyond which it may hide others.

    Writes into near (cells,) the smallest limit in each cell and the eight around it.
    Cells are numbered row by row, `stride` to a row, with a border of empty cells.
    """
    near.fill(np.float32(np.inf))
    cell, limit = np.empty(len(v), np.uint32), np.empty(len(v), np.float32)
    for i in range(len(v)):
        here, bound = np.uint32(((v[i] >> bits) + 1) * stride + (u[i] >> bits) + 1), depth[i] * factor + slack
        cell[i], limit[i] = here, bound
        near[here] = _less(near[here], bound)
    _least_around(near, stride)
    return cell, limit


@compiled
def _least_around(values, stride):  # type: ignore[no-untyped-def]
    """Replace each value inside the border by the smallest of it and the eight around it."""
    # Three rows at a time: a second array as large as the first would not stay in the processor's cache.
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


@compiled
def _least_beside(row, least):  # type: ignore[no-untyped-def]
    """Write into least the smallest of each value and its two neighbours; both ends are copied."""
    # Slices of equal length, so that the loop is vectorised.
    before, here, after, middle = row[:-2], row[1:-1], row[2:], least[1:-1]
    least[0], least[-1] = row[0], row[-1]
    for k in range(len(here)):
        middle[k] = _less(here[k], _less(before[k], after[k]))


@compiled
def _less(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@compiled
def _seen(pixels, near, first, stride, regions, radius, least, slack, optics):  # type: ignore[no-untyped-def]
    """Compare every suspect with the points around it that may hide it; see seen_by_zbuffer.

    near (cells,): the smallest limits around each cell; overwritten. first (cells,): memory to work in.
    """
    _, _, depth, cell, limit = pixels
    suspect = _beyond(depth, near, cell, np.float32(1))
    far = near  # the same memory again: a new array, not yet in the cache, would cost more than all the rest
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


@compiled
def _around(cell, stride):  # type: ignore[no-untyped-def]
    """Return a cell and the eight around it."""
    one = np.uint64(1)
    up, here, down = np.uint64(cell - stride), np.uint64(cell), np.uint64(cell + stride)
    return up - one, up, up + one, here - one, here, here + one, down - one, down, down + one


@compiled
def _beyond(values, bounds, cell, sign):  # type: ignore[no-untyped-def]
    """Find the points whose value (n,) is above the bound (cells,) of their cell; below it if sign is -1."""
    # No branch: most points are not found, and each is written where the next one overwrites it.
    found = np.empty(len(cell), np.uint32)
    place = np.uint64(0)
    for i in range(len(cell)):
        found[place] = i
        place += np.uint64(sign * values[i] > sign * bounds[cell[i]])
    return found[:place]


@compiled
def _chains(cell, points, first):  # type: ignore[no-untyped-def]
    """Link the points of each cell: first (cells,) gets one of them, the result (n,) the next after each.

    -1 ends a chain; `first` must hold it for the cells of the points.
    """
    following = np.empty(len(cell), np.int32)
    for i in points:
        following[i] = first[cell[i]]
        first[cell[i]] = i
    return following


@compiled
def _hides(before, behind, pixels, regions, radius, least, slack, optics):  # type: ignore[no-untyped-def]
    """Whether point `before` hides point `behind`, by the rule in Visibility."""
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
