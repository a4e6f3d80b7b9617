"""Which pixels of an image see which points of a scan, by the rule of a `Visibility`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.geometry.projection import NEAREST_DEPTH_M, pixels_in_image, project
from lass3d_core.records import Camera

if TYPE_CHECKING:
    from lass3d_core.geometry.point_blocks import PointBlocks


@dataclass(frozen=True)
class Visibility:
    """Which of the points in an image the image sees.

    `zbuffer`: points hide one another. Each point is splatted over the square of 2*splat_radius_px + 1 pixels
    around its own. A point at `nearest` metres hides another, seen under the angle `apart` from it, unless
    depth <= nearest * (1 + depth_tolerance + apart / tan(grazing_deg)) + depth_slack_m.
    `depth_map`: a point is seen if the depth camera measured its depth, within depth_tolerance (relative).
    `none`: every point in the image is seen.
    min_depth_m: nearer points are never seen.
    Decision: apart / tan(grazing_deg) is how fast the depth of a plane grows that is seen at grazing_deg. So
    no steeper surface hides itself, at any resolution.
    Decision: if the image's masks are known, a point hides others within its own mask alone, because a thing
    covers no pixel outside its mask.
    """

    kind: Literal["zbuffer", "depth_map", "none"] = "zbuffer"
    splat_radius_px: int = 4
    depth_tolerance: float = 0.1
    depth_slack_m: float = 0.3
    grazing_deg: float = 4.5
    min_depth_m: float = 0.5


@dataclass(frozen=True)
class MeasuredDepth:
    """What a depth camera measured. Raises DataError if the depth map's size differs from the camera's.

    depth (H,W) float32: metres along the optical axis; 0 or not finite if nothing was measured.
    """

    depth: np.ndarray
    camera: Camera

    def __post_init__(self) -> None:
        if self.depth.shape != self.camera.size_hw:
            sizes = f"the depth map is {self.depth.shape}, its camera's image {self.camera.size_hw}"
            raise DataError(f"{sizes}; rescale one of them")


class VisiblePixels(NamedTuple):
    """The points that an image sees, and their pixels.

    point (n,) int64: index into the scan, ascending. v, u (n,) int32: pixel row and column. depth (n,)
    float32: metres.
    """

    point: np.ndarray
    v: np.ndarray
    u: np.ndarray
    depth: np.ndarray


class PreparedPoints:
    """Points (N,3) float32 of a scan with several cameras: cut into blocks once, for the first camera."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points

    @cached_property
    def blocks(self) -> PointBlocks:
        from lass3d_core.geometry.point_blocks import point_blocks

        return point_blocks(self.points)


def visible_pixels(
    camera: Camera,
    points: np.ndarray | PreparedPoints,
    visibility: Visibility,
    measured: MeasuredDepth | None = None,
    regions: np.ndarray | None = None,
) -> VisiblePixels:
    """Find the points that are in front of the camera, inside the image and visible.

    points (N,3) float32, or PreparedPoints, made once, if the scan has several images. Points that are not
    finite are in no view.
    measured: used by visibility `depth_map` alone, which needs it.
    regions (H,W) int: which mask owns each pixel, used by `zbuffer` alone; without them the image is one
    region.
    Raises DataError if `depth_map` has nothing measured, or if the regions' size differs from the image's.
    """
    from lass3d_core.geometry import view_loops

    if regions is not None and regions.shape != camera.size_hw:
        sizes = f"the regions are {regions.shape}, their camera's image {camera.size_hw}"
        raise DataError(f"{sizes}; rescale them")
    prepared = points if isinstance(points, PreparedPoints) else PreparedPoints(points)
    nearest = max(visibility.min_depth_m, NEAREST_DEPTH_M)
    if camera.distortion is None:
        point, v, u, depth = view_loops.in_image(camera, prepared.blocks, nearest)
    else:  # a lens bends the borders of the view, by which whole blocks are skipped
        uv, depths = project(camera, prepared.points)
        point, v, u = pixels_in_image(uv, depths, camera.size_hw, nearest)
        depth = depths[point]
    match visibility.kind:
        case "zbuffer":
            seen = view_loops.seen_by_zbuffer(v, u, depth, camera, visibility, regions)
        case "depth_map":
            if measured is None:
                needs = "visibility 'depth_map' needs a depth image, and this view has none"
                raise DataError(f"{needs}; use 'zbuffer' or 'none'")
            seen = seen_by_depth_map(prepared.points[point], measured, visibility.depth_tolerance)
        case "none":
            seen = np.ones(len(point), bool)
    return VisiblePixels(*view_loops.compress(seen, point, v, u, depth))


def at_pixels(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Look up image[v, u] (n,) of an image (H,W), for rows and columns (n,) int32 that lie in it."""
    from lass3d_core.geometry import view_loops

    return view_loops.at_pixels(image, v, u)


def seen_by_depth_map(points: np.ndarray, measured: MeasuredDepth, tolerance: float) -> np.ndarray:
    """Find the points (n,3) on the measured surface, within tolerance * depth: (n,) bool.

    The depth camera has its own K, size and pose. A point without a measured pixel is not seen.
    """
    uv, depth = project(measured.camera, points)
    inside, v, u = pixels_in_image(uv, depth, measured.camera.size_hw)
    surface = measured.depth[v, u]
    valid = np.isfinite(surface) & (surface > 0)
    agrees = np.abs(depth[inside] - np.where(valid, surface, 0)) <= tolerance * np.where(valid, surface, 0)
    seen = np.zeros(len(points), bool)
    seen[inside[valid & agrees]] = True
    return seen
