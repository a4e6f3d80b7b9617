"""What a network sees of a cloud. Training, evaluation and the finished model share this one function."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lass3d_core.sparse.voxels import Voxels, mean_by_voxel, voxelise


def voxel_inputs(
    points: np.ndarray, features: np.ndarray, voxel_m: float, from_corner: bool
) -> tuple[Voxels, Tensor]:
    """The M voxels of a cloud, and their features (M,3+F): mean position in metres, mean point features.

    points (N,3): float32 or float64 metres. features (N,F): of any floating type.
    from_corner: subtract the least x, y and z first. Raises DataError for points beyond int32 voxels.
    """
    if from_corner and len(points):
        points = points - points.min(axis=0)
    points = points.astype(np.float32, copy=False)
    voxels = voxelise(torch.from_numpy(points), voxel_m)
    columns = np.concatenate([points, features.astype(np.float32)], axis=1)
    return voxels, mean_by_voxel(torch.from_numpy(columns), voxels)
