"""Which points lie in a view and which of them another one hides, in array operations of numpy.

lass3d_core/geometry/view_loops.py has the same four functions as compiled loops.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.geometry.point_runs import PointRuns
from lass3d_core.geometry.projection import homogeneous_product, image_borders, image_from_points
from lass3d_core.geometry.visibility import Visibility
from lass3d_core.records import Camera

_SMALLEST_CELL = 2
"""Of the z-buffer: 2^2 pixels; smaller ones would be more than their points."""


def in_image(camera: Camera, runs: PointRuns, min_depth_m: float) -> tuple[np.ndarray, ...]:
    """`project` and `pixels_in_image` in one, to the bit, of the points deeper than min_depth_m.

    Returns point (n,) int64, v and u (n,) int32, depth (n,) float32.
    """
    matrix, (height, width) = image_from_points(camera), camera.size_hw
    index, columns = runs.within(*image_borders(matrix, camera.size_hw))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        image = homogeneous_product(matrix, columns)
        uv, depth = image[:2], image[2]
        uv /= depth
        u_and_v = (uv >= 0) & (uv < np.array([[width], [height]], np.float32))
        inside = u_and_v[0] & u_and_v[1] & (depth > min_depth_m)
    chosen = np.flatnonzero(inside)
    u, v, depth = image.take(chosen, axis=1)
    return index.take(chosen), v.astype(np.int32), u.astype(np.int32), depth


def seen_by_zbuffer(
    v: np.ndarray,
    u: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    visibility: Visibility,
    regions: np.ndarray | None,
) -> np.ndarray:
    """Which points (n,) of one image are not hidden by another point of the scan: bool (n,). See Visibility.

    Hiding is asked of every pair of points less than radius + 1 pixels apart, so that their order does not
    matter. Only few can be in such a pair: cells at least as wide as the radius hold their nearest point, and
    what lies not behind that of its own and the eight cells around it is seen, whatever the angles. The other
    side is narrowed down likewise: to hide anything, a point must lie before the farthest such suspect.
    """
    cell, grid = _cells(v, u, cell_bits(visibility.splat_radius_px))
    limit = depth * np.float32(1 + visibility.depth_tolerance)
    limit += np.float32(visibility.depth_slack_m)
    suspect = np.flatnonzero(depth > _around(np.minimum, np.inf, cell, limit, grid).take(cell))
    farthest = _around(np.maximum, -np.inf, cell[suspect], depth[suspect], grid)
    hider = np.flatnonzero(limit < farthest.take(cell))
    behind, before = _neighbours(cell, suspect, hider, grid[1])
    seen = np.ones(len(depth), bool)
    seen[_hidden(v, u, depth, behind, before, camera, visibility, regions)] = False
    return seen


def at_pixels(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """image[v, u] (n,) of an image (H,W), for rows and columns that lie in it: a single index is faster."""
    if image.flags.f_contiguous:
        image, v, u = image.T, u, v
    return image.reshape(-1).take((v * image.shape[1] + u).astype(np.intp))


def kept(seen: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """Of each column (n,) what is marked in seen (n,) bool."""
    place = np.flatnonzero(seen)
    return [column.take(place) for column in columns]


def cell_bits(radius: int) -> int:
    """A cell of the z-buffer has 2^bits pixels a side: at least the radius, as a power of two."""
    return max(_SMALLEST_CELL, (radius - 1).bit_length())


def _cells(v: np.ndarray, u: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The cell of each pixel (n,) int64 and the grid: how many rows, and how many cells from one row to the
    next, at least one of them empty. Cells are numbered row by row from that of the topmost point."""
    row, column = v >> side, u >> side
    top, bottom = (int(row.min()), int(row.max())) if len(row) else (0, 0)
    stride = int(column.max(initial=0)) + 2
    row -= top
    row *= stride
    row += column
    return row.astype(np.intp), (bottom - top + 1, stride)


def _around(
    extreme: np.ufunc, empty: float, cell: np.ndarray, depth: np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """The extreme depth of the points of each cell and its eight neighbours: one per cell, or `empty`."""
    rows, stride = grid
    found = np.full((rows + 2) * stride + 2, empty, np.float32)
    extreme.at(found[stride + 1 :], cell, depth)
    for step in (1, stride):
        pairs = extreme(found[:-step], found[step:])
        found = extreme(pairs[:-step], pairs[step:])
    return found


def _neighbours(
    cell: np.ndarray, suspect: np.ndarray, hider: np.ndarray, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a suspect and a hider in the same or neighbouring cells: two arrays (P,) of points.

    The hiders of three cells in a row lie together once they are sorted by cell; the suspects are sorted
    because numpy finds a place sooner that is near the one before.
    """
    suspect, hider = suspect[np.argsort(cell[suspect])], hider[np.argsort(cell[hider])]
    middle, sorted_cell = cell[suspect] + np.array([[-stride], [0], [stride]]), cell[hider]
    start = sorted_cell.searchsorted(middle - 1).ravel()
    count = sorted_cell.searchsorted(middle + 2).ravel() - start
    pair = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(pair)) + (start - (np.cumsum(count) - count))[pair]
    return np.tile(suspect, 3)[pair], hider[place]


def _hidden(
    v: np.ndarray,
    u: np.ndarray,
    depth: np.ndarray,
    behind: np.ndarray,
    before: np.ndarray,
    camera: Camera,
    visibility: Visibility,
    regions: np.ndarray | None,
) -> np.ndarray:
    """Of pairs (P,) of points, those behind that the one before them hides. See Visibility."""
    radius, steep = visibility.splat_radius_px, np.tan(np.deg2rad(visibility.grazing_deg))
    down, across = np.abs(v[before] - v[behind]), np.abs(u[before] - u[behind])
    near = np.flatnonzero((down <= radius) & (across <= radius))
    behind, before = behind[near], before[near]
    x, y = across[near] / camera.K[0, 0], down[near] / camera.K[1, 1]
    apart = np.sqrt(x * x + y * y)
    allowed = (1 + visibility.depth_tolerance + apart / steep).astype(np.float32)
    hidden = depth[behind] > depth[before] * allowed + visibility.depth_slack_m
    if regions is not None:
        hidden &= at_pixels(regions, v[before], u[before]) == at_pixels(regions, v[behind], u[behind])
    return behind[hidden]
