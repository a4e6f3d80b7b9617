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
            seen = np.ones(len(depth), bool)
    return VisiblePixels(point[seen], v[seen], u[seen], depth[seen])


def project(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eq. (2), whose left side leaves out the depth factor: depth * (u, v, 1) = K [R|t] (x, y, z, 1).

    points (N,3) float32 metres, points frame. Returns uv (N,2) float32 pixels, NaN where the point is not
    in front of the camera, and depth (N,) float32 metres, negative behind it.
    """
    matrix = image_from_points(camera)
    depth = _row(matrix[2], points.T)
    uv = np.full((len(points), 2), np.nan, np.float32)
    ahead = depth > NEAREST_DEPTH_M
    np.divide(_row(matrix[0], points.T), depth, out=uv[:, 0], where=ahead)
    np.divide(_row(matrix[1], points.T), depth, out=uv[:, 1], where=ahead)
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
    side = max(_SMALLEST_CELL, (visibility.splat_radius_px - 1).bit_length())  # as a power of two
    height, width = camera.size_hw
    grid = ((height - 1 >> side) + 1, (width - 1 >> side) + 3)  # a margin beside the rows
    cell = (v >> side).astype(np.intp) * grid[1] + (u >> side)
    least, slack = np.float32(1 + visibility.depth_tolerance), np.float32(visibility.depth_slack_m)
    hidden_beyond = _around(np.minimum, np.inf, cell, depth * least + slack, grid)
    suspect = np.flatnonzero(depth > hidden_beyond[cell])
    farthest = _around(np.maximum, -np.inf, cell[suspect], depth[suspect], grid)
    hider = np.flatnonzero(depth * least + slack < farthest[cell])
    behind, before = _neighbours(cell, suspect, hider, grid[1])
    seen = np.ones(len(depth), bool)
    seen[behind[_hides(v, u, depth, behind, before, camera, visibility, regions)]] = False
    return seen


def _around(
    extreme: np.ufunc, empty: float, cell: np.ndarray, depth: np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """The extreme depth of the points of each cell and its eight neighbours: one per cell, `empty` if none.

    Cells are numbered row by row; grid: how many rows, and how many cells from one row to the next, at least
    one of them empty.
    """
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

    The hiders of three cells in a row lie together once they are sorted by cell.
    """
    hider = hider[np.argsort(cell[hider])]
    middle = cell[suspect] + np.array([[-stride], [0], [stride]])
    start, end = np.searchsorted(cell[hider], [middle - 1, middle + 2])
    count = (end - start).ravel()
    place = np.arange(count.sum()) + np.repeat(start.ravel() - (np.cumsum(count) - count), count)
    return np.repeat(np.tile(suspect, 3), count), hider[place]


def _hides(
    v: np.ndarray,
    u: np.ndarray,
    depth: np.ndarray,
    behind: np.ndarray,
    before: np.ndarray,
    camera: Camera,
    visibility: Visibility,
    regions: np.ndarray | None,
) -> np.ndarray:
    """Of each pair of points, whether the one before hides the one behind: bool (P,). See Visibility."""
    radius, steep = visibility.splat_radius_px, np.tan(np.deg2rad(visibility.grazing_deg))
    down, across = np.abs(v[before] - v[behind]), np.abs(u[before] - u[behind])
    apart = np.hypot(across / camera.K[0, 0], down / camera.K[1, 1])
    allowed = (1 + visibility.depth_tolerance + apart / steep).astype(np.float32)
    hides = depth[behind] > depth[before] * allowed + visibility.depth_slack_m
    hides &= (down <= radius) & (across <= radius)
    if regions is not None:
        hides &= regions[v[before], u[before]] == regions[v[behind], u[behind]]
    return hides


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
    across, down, ahead = matrix.astype(np.float64)
    planes = np.stack([across, width * ahead - across, down, height * ahead - down])
    magnitudes = np.abs([across, across, down, down]) + np.outer(
        [width, width, height, height], np.abs(ahead)
    )
    index, columns = runs.within(planes, magnitudes)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        depth = _row(matrix[2], columns)
        u, v = _row(matrix[0], columns) / depth, _row(matrix[1], columns) / depth
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        inside &= depth > max(min_depth_m, NEAREST_DEPTH_M)
    chosen = np.flatnonzero(inside)
    return index[chosen], v[chosen].astype(np.int32), u[chosen].astype(np.int32), depth[chosen]


def _row(row: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """row (4,) times homogeneous columns (3,N), summed in a fixed order: subsets agree to the bit."""
    total = columns[0] * row[0]
    total += columns[1] * row[1]
    total += columns[2] * row[2]
    total += row[3]
    return total


def _present(measured: MeasuredDepth | None) -> MeasuredDepth:
    if measured is None:
        raise DataError(
            "visibility 'depth_map' needs a depth image, and this view has none; use 'zbuffer' or 'none'"
        )
    return measured
