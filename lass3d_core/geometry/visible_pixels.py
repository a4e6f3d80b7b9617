"""Which pixels of an image see which points of a scan, by the rule of a `Visibility`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.geometry import view_arrays
from lass3d_core.geometry.point_runs import PointRuns
from lass3d_core.geometry.projection import NEAREST_DEPTH_M, pixels_in_image, project
from lass3d_core.geometry.visibility import Visibility
from lass3d_core.records import Camera


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
    regions (H,W) int: which mask owns each pixel, for `zbuffer`; without them the image is one region. Raises
    DataError where they are not of its size. Where a scan has several images, make its PointRuns once.
    """
    if regions is not None and regions.shape != camera.size_hw:
        raise DataError(
            f"the regions are {regions.shape}, their camera's image {camera.size_hw}; rescale them"
        )
    runs = points if isinstance(points, PointRuns) else PointRuns(points)
    backend = loops() or view_arrays
    point, v, u, depth = backend.in_image(camera, runs, max(visibility.min_depth_m, NEAREST_DEPTH_M))
    match visibility.kind:
        case "zbuffer":
            seen = backend.seen_by_zbuffer(v, u, depth, camera, visibility, regions)
        case "depth_map":
            seen = seen_by_depth_map(runs.points[point], _present(measured), visibility.depth_tolerance)
        case "none":
            seen = np.ones(len(point), bool)
    return VisiblePixels(*backend.kept(seen, point, v, u, depth))


def at_pixels(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """image[v, u] (n,) of an image (H,W), for rows and columns (n,) int32 that lie in it."""
    return (loops() or view_arrays).at_pixels(image, v, u)


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


@cache
def loops() -> ModuleType | None:
    """view_loops.py where numba is installed (the extra `fast`): the same pixels, sooner.

    None too where it does not fit the installed numpy (ImportError), or finds no folder to keep what it
    compiles in (RuntimeError).
    """
    try:
        from lass3d_core.geometry import view_loops
    except (ImportError, RuntimeError):
        return None
    return view_loops


def _present(measured: MeasuredDepth | None) -> MeasuredDepth:
    if measured is None:
        raise DataError(
            "visibility 'depth_map' needs a depth image, and this view has none; use 'zbuffer' or 'none'"
        )
    return measured
