"""The input of the network: voxels of a scan and their features. The same in training and evaluation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lass3d_core.sparse.voxels import Voxels, mean_by_voxel, voxelise
from train.config import DataConfig


def voxel_inputs(points: np.ndarray, features: np.ndarray, config: DataConfig) -> tuple[Voxels, Tensor]:
    """The M voxels of a scan, and their features (M,3+F): mean position in metres, mean point features.

    points (N,3) float32 metres.
    features (N,F) of any floating type.
    """
    if config.from_corner and len(points):
        points = points - points.min(axis=0)
    voxels = voxelise(torch.from_numpy(points), config.voxel_m)
    columns = np.concatenate([points, features.astype(np.float32)], axis=1)
    return voxels, mean_by_voxel(torch.from_numpy(columns), voxels)
