"""Rigid transforms, the pinhole projection of Eq. (2), and which points an image really sees.

Frames and units: metres; the camera frame looks along +z, x right, y down. `uv` is (u right, v down) in
pixels, continuous, with its origin at the outer corner of the first pixel: pixel (u, v) covers
[u, u+1) x [v, v+1), so a coordinate becomes a pixel by rounding down, and an image is looked up as `image[v,
u]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.point_runs import PointRuns
from lass3d_core.records import Camera

NEAREST_DEPTH_M = 1e-3
"""Points nearer to the camera plane than this have no pixel: the division by their depth means nothing."""

_SMALLEST_CELL = 2
"""Of the z-buffer: 2^2 pixels; smaller ones would be more than their points."""


@dataclass(frozen=True)
class Visibility:
    """Which of the points in the image the image sees.

    `zbuffer`: the scan hides itself. Each point is splatted over the square of 2*splat_radius_px + 1 pixels
    around its own; one at `nearest` metres, seen under the angle `apart` from another, hides that other
    unless depth <= nearest * (1 + depth_tolerance + apart / tan(grazing_deg)) + depth_slack_m.
    Decision: the term with the angle is how fast the depth of a plane grows that is seen at grazing_deg, so
    that no steeper surface hides itself, whatever the resolution. Decision: where the image's masks are
    known, a point hides others within its own mask alone: a thing covers no pixel outside of its own.
    `depth_map`: the depth camera's own measurement agrees within depth_tolerance of it (relative).
    `none`: every point in the image. min_depth_m: nearer points are never seen.
    """

    kind: Literal["zbuffer", "depth_map", "none"] = "zbuffer"
    splat_radius_px: int = 4
    depth_tolerance: float = 0.1
    depth_slack_m: float = 0.3
    grazing_deg: float = 4.5
    min_depth_m: float = 0.5


@dataclass(frozen=True)
class MeasuredDepth:
    """What a depth camera measured: depth (H,W) float32 metres along its optical axis, 0 or non-finite where
    nothing.

    Raises DataError where it is not of the camera's size.
    """

    depth: np.ndarray
    camera: Camera

    def __post_init__(self) -> None:
        if self.depth.shape != self.camera.size_hw:
            raise DataError(
                f"the depth map is {self.depth.shape}, its camera's image {self.camera.size_hw}; "
                "rescale one of them"
            )


class VisiblePixels(NamedTuple):
    """The points that an image sees, in ascending order of their index, and where.

    point (n,) int64 index into the scan. v, u (n,) int32 pixel row and column. depth (n,) float32 metres.
    """

    point: np.ndarray
    v: np.ndarray
    u: np.ndarray
    depth: np.ndarray


def visible_pixels(
    camera: Camera,
    points: np.ndarray | PointRuns,
    visibility: Visibility,
    measured: MeasuredDepth | None = None,
    regions: np.ndarray | None = None,
) -> VisiblePixels:
    """The pixels of those points (N,3) float32 that are in front of the camera, inside the image and visible.

    measured: needed by, and only used for, visibility `depth_map`. Raises DataError where it is absent.
    regions (H,W) int: which mask owns each pixel, for `zbuffer`; without them the image is one region.
    Where a scan has several images, make its PointRuns once.
    """
    runs = points if isinstance(points, PointRuns) else PointRuns(points)
    point, v, u, depth = _in_image(camera, runs, visibility.min_depth_m)
    match visibility.kind:
        case "zbuffer":
            seen = seen_by_zbuffer(v, u, depth, camera, visibility, regions)
        case "depth_map":
            seen = seen_by_depth_map(runs.points[point], _present(measured), visibility.depth_tolerance)
        case "none":
            return VisiblePixels(point, v, u, depth)
    kept = np.flatnonzero(seen)
    return VisiblePixels(point.take(kept), v.take(kept), u.take(kept), depth.take(kept))


def at_pixels(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """image[v, u] (n,) of an image (H,W), for rows and columns that lie in it: a single index is faster."""
    if image.flags.f_contiguous:
        image, v, u = image.T, u, v
    return image.reshape(-1).take((v * image.shape[1] + u).astype(np.intp))


def project(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eq. (2), whose left side leaves out the depth factor: depth * (u, v, 1) = K [R|t] (x, y, z, 1).

    points (N,3) float32 metres, points frame. Returns uv (N,2) float32 pixels, NaN where the point is not
    in front of the camera, and depth (N,) float32 metres, negative behind it.
    """
    matrix = image_from_points(camera)
    u, v, depth = _rows(matrix, points.T)
    uv = np.full((len(points), 2), np.nan, np.float32)
    ahead = depth > NEAREST_DEPTH_M
    np.divide(u, depth, out=uv[:, 0], where=ahead)
    np.divide(v, depth, out=uv[:, 1], where=ahead)
    return uv, depth


def image_from_points(camera: Camera) -> np.ndarray:
    """K [R|t] (3,4) float32: multiplied in double precision and rounded once, so that pixels stay exact."""
    return (camera.K @ camera.cam_from_points[:3]).astype(np.float32)


def pixels_in_image(
    uv: np.ndarray, depth: np.ndarray, size_hw: tuple[int, int], min_depth_m: float = NEAREST_DEPTH_M
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in front of the camera and inside the image: index (n,) int64, row v and column u (n,) int32.

    uv (N,2) and depth (N,) as `project` returns them; NaN is outside. Rounds down, see the module.
    """
    height, width = size_hw
    u, v = uv[:, 0], uv[:, 1]
    inside = np.flatnonzero((depth > min_depth_m) & (u >= 0) & (u < width) & (v >= 0) & (v < height))
    return inside, v[inside].astype(np.int32), u[inside].astype(np.int32)


def seen_by_zbuffer(
    v: np.ndarray,
    u: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    visibility: Visibility,
    regions: np.ndarray | None = None,
) -> np.ndarray:
    """Which points (n,) of one image are not hidden by another point of the scan: bool (n,). See Visibility.

    Hiding is asked of every pair of points less than radius + 1 pixels apart, so that their order does not
    matter. Only few can be in such a pair: cells at least as wide as the radius hold their nearest point, and
    what lies not behind that of its own and the eight cells around it is seen, whatever the angles. The other
    side is narrowed down likewise: to hide anything, a point must lie before the farthest such suspect.
    """
    cell, grid = _cells(v, u, visibility.splat_radius_px)
    limit = depth * np.float32(1 + visibility.depth_tolerance)
    limit += np.float32(visibility.depth_slack_m)
    suspect = np.flatnonzero(depth > _around(np.minimum, np.inf, cell, limit, grid).take(cell))
    farthest = _around(np.maximum, -np.inf, cell[suspect], depth[suspect], grid)
    hider = np.flatnonzero(limit < farthest.take(cell))
    behind, before = _neighbours(cell, suspect, hider, grid[1])
    seen = np.ones(len(depth), bool)
    seen[_hidden(v, u, depth, behind, before, camera, visibility, regions)] = False
    return seen


def _cells(v: np.ndarray, u: np.ndarray, radius: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The cell of each pixel (n,) int64 and the grid: how many rows, and how many cells from one row to the
    next, at least one of them empty. Cells are numbered row by row from that of the topmost point."""
    side = max(_SMALLEST_CELL, (radius - 1).bit_length())  # as a power of two
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
    apart = np.hypot(across[near] / camera.K[0, 0], down[near] / camera.K[1, 1])
    allowed = (1 + visibility.depth_tolerance + apart / steep).astype(np.float32)
    hidden = depth[behind] > depth[before] * allowed + visibility.depth_slack_m
    if regions is not None:
        hidden &= at_pixels(regions, v[before], u[before]) == at_pixels(regions, v[behind], u[behind])
    return behind[hidden]


def seen_by_depth_map(points: np.ndarray, measured: MeasuredDepth, tolerance: float) -> np.ndarray:
    """Which points (n,3) lie on the surface that the depth camera measured, within tolerance * depth: (n,)
    bool.

    The depth camera has its own K, size and pose. Where it measured nothing, or does not look, no point is
    seen.
    """
    uv, depth = project(measured.camera, points)
    inside, v, u = pixels_in_image(uv, depth, measured.camera.size_hw)
    surface = measured.depth[v, u]
    valid = np.isfinite(surface) & (surface > 0)
    agrees = np.abs(depth[inside] - np.where(valid, surface, 0)) <= tolerance * np.where(valid, surface, 0)
    seen = np.zeros(len(points), bool)
    seen[inside[valid & agrees]] = True
    return seen


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The (4,4) float64 transform x -> rotation (3,3) x + translation (3,)."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation
    return transform


def invert_rigid(transform: np.ndarray) -> np.ndarray:
    """The inverse (4,4) of a rigid transform (4,4): points_from_cam of cam_from_points."""
    rotation = transform[:3, :3].T
    return rigid(rotation, -rotation @ transform[:3, 3])


def transform_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """points (N,3) taken through a (4,4) transform, in the dtype of `points`."""
    return (points @ transform[:3, :3].T + transform[:3, 3]).astype(points.dtype)


def scale_intrinsics(K: np.ndarray, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> np.ndarray:
    """K (3,3) of an image of size from_hw, for the same image resized to to_hw."""
    height, width = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    return np.diag([width, height, 1.0]) @ K


def _in_image(
    camera: Camera, runs: PointRuns, min_depth_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`project` and `pixels_in_image` in one, to the bit: index, v, u and depth of what lies in the image."""
    matrix, (height, width) = image_from_points(camera), camera.size_hw
    borders = np.array([[1, 0, 0], [-1, 0, width], [0, 1, 0], [0, -1, height]])
    index, columns = runs.within(borders @ matrix.astype(np.float64), np.abs(borders) @ np.abs(matrix))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        image = _rows(matrix, columns)
        uv, depth = image[:2], image[2]
        uv /= depth
        u_and_v = (uv >= 0) & (uv < np.array([[width], [height]], np.float32))
        inside = u_and_v[0] & u_and_v[1] & (depth > max(min_depth_m, NEAREST_DEPTH_M))
    chosen = np.flatnonzero(inside)
    u, v, depth = image.take(chosen, axis=1)
    return index.take(chosen), v.astype(np.int32), u.astype(np.int32), depth


def _rows(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """matrix (R,4) times homogeneous columns (3,N), summed in a fixed order: subsets agree to the bit."""
    total = columns[0] * matrix[:, :1]
    total += columns[1] * matrix[:, 1:2]
    total += columns[2] * matrix[:, 2:3]
    total += matrix[:, 3:]
    return total


def _present(measured: MeasuredDepth | None) -> MeasuredDepth:
    if measured is None:
        raise DataError(
            "visibility 'depth_map' needs a depth image, and this view has none; use 'zbuffer' or 'none'"
        )
    return measured
