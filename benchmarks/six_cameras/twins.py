"""The projections of public tool boxes, rewritten from their formulas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lass3d_core.geometry.projection import rigid
from lass3d_core.records import Camera

MIN_DEPTH_M = 1.0
"""The devkit's default."""


def lidar2img(camera: Camera) -> np.ndarray:
    """The projection matrix (4,4) float64 of mmdet3d."""
    K = np.eye(4)
    K[:3, :3] = camera.K
    return K @ camera.cam_from_points


def points_cam2img(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """mmdet3d's numpy projection: uv (N,2) float64 of points (N,3) by lidar2img (4,4)."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=-1)
    projected = homogeneous @ matrix.T
    return projected[..., :2] / projected[..., 2:3]


def points_cam2img_torch(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """The same in torch: uv (N,2) float32."""
    homogeneous = torch.cat([points, points.new_ones(len(points), 1)], dim=-1)
    projected = homogeneous @ matrix.T
    return projected[..., :2] / projected[..., 2:3]


def as_loaded(points: np.ndarray) -> np.ndarray:
    """(4,N) float32 as the devkit's LidarPointCloud holds it: the transpose of rows of five numbers."""
    return np.column_stack([points, np.zeros((len(points), 2), np.float32)])[:, :4].T


@dataclass(frozen=True)
class Chain:
    """The devkit's four steps: each a quaternion (w, x, y, z), a translation, and whether it is undone."""

    steps: tuple[tuple[np.ndarray, np.ndarray, bool], ...]
    K: np.ndarray
    size_hw: tuple[int, int]

    @classmethod
    def of(cls, camera: Camera) -> Chain:
        """A chain that ends in `camera`, with made-up poses of lidar and car."""
        rng = np.random.default_rng(0)
        ego, then, now = (_quaternion(rng) for _ in range(3))
        car_from_lidar = rigid(_rotation(ego), rng.normal(size=3))
        world_from_then = rigid(_rotation(then), rng.normal(size=3) * 10)
        world_from_now = rigid(_rotation(now), world_from_then[:3, 3] + 0.5)
        lidar_from_now = np.linalg.inv(world_from_then @ car_from_lidar) @ world_from_now
        now_from_camera = np.linalg.inv(camera.cam_from_points @ lidar_from_now)
        return cls(
            (
                (ego, car_from_lidar[:3, 3], False),
                (then, world_from_then[:3, 3], False),
                (now, world_from_now[:3, 3], True),
                (_quaternion_of(now_from_camera[:3, :3]), now_from_camera[:3, 3], True),
            ),
            camera.K,
            camera.size_hw,
        )

    def pixels(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project columns (4,N) float32: uv (2,n) float64 of the points inside, and their mask (N,)."""
        cloud = columns.copy(order="K")  # in the layout of the file
        for quaternion, translation, undone in self.steps:
            if undone:
                _translate(cloud, -translation)
                cloud[:3] = np.dot(_rotation(quaternion).T, cloud[:3])
            else:
                cloud[:3] = np.dot(_rotation(quaternion), cloud[:3])
                _translate(cloud, translation)
        depth = cloud[2]
        uv = view_points(cloud[:3], self.K)
        height, width = self.size_hw
        inside = np.ones(len(depth), dtype=bool)
        inside = np.logical_and(inside, depth > MIN_DEPTH_M)
        inside = np.logical_and(inside, uv[0] > 1)
        inside = np.logical_and(inside, uv[0] < width - 1)
        inside = np.logical_and(inside, uv[1] > 1)
        inside = np.logical_and(inside, uv[1] < height - 1)
        return uv[:, inside], inside


def view_points(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """The devkit's projection of points (3,N) in the camera frame: (3,N) float64, last row ones."""
    view = np.eye(4)
    view[:3, :3] = K
    count = points.shape[1]
    projected = np.dot(view, np.concatenate((points, np.ones((1, count)))))[:3]
    return projected / projected[2:3].repeat(3, 0).reshape(3, count)


def _quaternion(rng: np.random.Generator) -> np.ndarray:
    q = rng.normal(size=4)
    return q / np.linalg.norm(q)


def _rotation(q: np.ndarray) -> np.ndarray:
    """The rotation (3,3) of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """The unit quaternion (w, x, y, z) of a rotation: an eigenvector of Bar-Itzhack's matrix."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    K = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    return np.linalg.eigh(K)[1][:, -1]


def _translate(cloud: np.ndarray, translation: np.ndarray) -> None:
    for axis in range(3):
        cloud[axis] = cloud[axis] + translation[axis]
