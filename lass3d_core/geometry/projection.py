"""Rigid transforms and the pinhole projection of Eq. (2).

Frames and units: metres; the camera frame looks along +z, x right, y down. `uv` is (u right, v down) in
pixels, continuous, with its origin at the outer corner of the first pixel: pixel (u, v) covers
[u, u+1) x [v, v+1), so a coordinate becomes a pixel by rounding down, and an image is looked up as `image[v,
u]`.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.records import Camera

NEAREST_DEPTH_M = 1e-3
"""Points nearer to the camera plane than this have no pixel: the division by their depth means nothing."""


def project(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eq. (2), whose left side leaves out the depth factor: depth * (u, v, 1) = K [R|t] (x, y, z, 1).

    points (N,3) float32 metres, points frame. Returns uv (N,2) float32 pixels, NaN where the point is not
    in front of the camera, and depth (N,) float32 metres, negative behind it.
    """
    matrix = image_from_points(camera)
    u, v, depth = homogeneous_product(matrix, points.T)
    uv = np.full((len(points), 2), np.nan, np.float32)
    ahead = depth > NEAREST_DEPTH_M
    np.divide(u, depth, out=uv[:, 0], where=ahead)
    np.divide(v, depth, out=uv[:, 1], where=ahead)
    return uv, depth


def image_from_points(camera: Camera) -> np.ndarray:
    """K [R|t] (3,4) float32: multiplied in double precision and rounded once, so that pixels stay exact."""
    return (camera.K @ camera.cam_from_points[:3]).astype(np.float32)


def image_borders(matrix: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The planes (4,4) float64 between which an image's points lie, and the magnitudes (4,4) of their parts.

    matrix (3,4) as image_from_points has it. A point in the image has u, v >= 0 and u < width, v < height at
    a depth above 0: its products with the planes are >= 0, save what rounding of the order of the products
    with the magnitudes does to them.
    """
    height, width = size_hw
    borders = np.array([[1, 0, 0], [-1, 0, width], [0, 1, 0], [0, -1, height]], np.float64)
    return borders @ matrix, np.abs(borders) @ np.abs(matrix)


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


def homogeneous_product(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """matrix (R,4) times homogeneous columns (3,N), summed in a fixed order: subsets agree to the bit."""
    total = columns[0] * matrix[:, :1]
    total += columns[1] * matrix[:, 1:2]
    total += columns[2] * matrix[:, 2:3]
    total += matrix[:, 3:]
    return total
