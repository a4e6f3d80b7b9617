"""Rigid transforms and the pinhole projection of Eq. (2).

Unit: metres. Camera frame: +z forward, x right, y down.
`uv` is (u right, v down) in continuous pixels. Its origin is the outer corner of the first pixel, and pixel
(u, v) covers [u, u+1) x [v, v+1). So a coordinate becomes a pixel by rounding down. Lookup is `image[v, u]`.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.geometry.distortion import distorted
from lass3d_core.records import Camera, Distortion

NEAREST_DEPTH_M = 1e-3  # nearer points have no pixel: division by their depth is meaningless


def project(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project points into pixels, Eq. (2): depth * (u, v, 1) = K [R|t] (x, y, z, 1).

    The paper leaves out the factor depth on the left side.
    points (N,3) float32: metres, points frame.
    Returns uv (N,2) float32 pixels, NaN unless the point is in front of the camera; and depth (N,) float32
    metres, negative behind the camera.
    A lens bends the pixels, see distortion.py; a point where its model does not hold has none.
    """
    if camera.distortion is not None:
        return _project_through_lens(camera, camera.distortion, points)
    u, v, depth = homogeneous_product(image_from_points(camera), points.T)
    uv = np.full((len(points), 2), np.nan, np.float32)
    ahead = depth > NEAREST_DEPTH_M
    np.divide(u, depth, out=uv[:, 0], where=ahead)
    np.divide(v, depth, out=uv[:, 1], where=ahead)
    return uv, depth


def _project_through_lens(
    camera: Camera, lens: Distortion, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, y, depth = homogeneous_product(camera.cam_from_points[:3], points.T.astype(np.float64))
    uv = np.full((len(points), 2), np.nan, np.float32)
    ahead = np.flatnonzero(depth > NEAREST_DEPTH_M)
    x, y, holds = distorted(x[ahead] / depth[ahead], y[ahead] / depth[ahead], lens)
    K = camera.K
    pixels = np.stack([K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]], axis=1)
    uv[ahead[holds]] = pixels[holds]
    return uv, depth.astype(np.float32)


def image_from_points(camera: Camera) -> np.ndarray:
    """K [R|t] (3,4) float32."""
    # Multiplied in double precision and rounded once, so that pixels stay exact.
    return (camera.K @ camera.cam_from_points[:3]).astype(np.float32)


def image_borders(matrix: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The planes (4,4) float64 that bound an image's view, and the magnitudes (4,4) of their terms.

    matrix (3,4): from image_from_points.
    The product of each plane with (x, y, z, 1) is >= 0 for a point in the image, up to rounding. The rounding
    error is proportional to the product of the magnitudes with (|x|, |y|, |z|, 1).
    """
    height, width = size_hw
    borders = np.array([[1, 0, 0], [-1, 0, width], [0, 1, 0], [0, -1, height]], np.float64)
    return borders @ matrix, np.abs(borders) @ np.abs(matrix)


def pixels_in_image(
    uv: np.ndarray, depth: np.ndarray, size_hw: tuple[int, int], min_depth_m: float = NEAREST_DEPTH_M
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the points in front of the camera and inside the image. uv (N,2), depth (N,): from `project`.

    Returns index (n,) int64, row v and column u (n,) int32, rounded down.
    """
    height, width = size_hw
    u, v = uv[:, 0], uv[:, 1]
    inside = np.flatnonzero((depth > min_depth_m) & (u >= 0) & (u < width) & (v >= 0) & (v < height))
    return inside, v[inside].astype(np.int32), u[inside].astype(np.int32)


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
    """Apply a (4,4) transform to points (N,3); the dtype stays."""
    return (points @ transform[:3, :3].T + transform[:3, 3]).astype(points.dtype)


def scale_intrinsics(K: np.ndarray, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> np.ndarray:
    """K (3,3) for an image that is resized from from_hw to to_hw."""
    height, width = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    return np.diag([width, height, 1.0]) @ K


def homogeneous_product(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply matrix (R,4) with homogeneous columns (3,N)."""
    # Summed in a fixed order, so that any subset of the points gives the same bits.
    total = columns[0] * matrix[:, :1]
    total += columns[1] * matrix[:, 1:2]
    total += columns[2] * matrix[:, 2:3]
    total += matrix[:, 3:]
    return total


def is_rotation(matrix: np.ndarray) -> bool:
    """Whether `matrix` (3,3) is a rotation, up to 0.01."""
    return bool(abs(matrix @ matrix.T - np.eye(3)).max() < 0.01 and np.linalg.det(matrix) > 0)
