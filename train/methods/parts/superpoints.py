"""Superpoints: regions of a voxelised scan that geometry and colour do not break, and their edges.

Two voxels that touch belong together where their normals agree and their colours do; a superpoint is all
that hangs together so: region growing by smoothness and region growing by colour, of which both must hold.
Letters: M voxels, S superpoints, F features, of which x, y, z in metres come first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from lass3d_core.sparse.maps import KernelMap

_LEAST_NEIGHBOURS = 3
"""That a normal takes: with fewer, the neighbourhood is no surface."""

_EDGE_SHARE = 0.25
"""Of a voxel's neighbours, across an edge. Of a surface's eight, three are across a straight edge. Some one
differs by noise nearly everywhere: 0.9 of the voxels of the simulated rooms have such a neighbour by colour.
"""


@dataclass(frozen=True)
class SuperpointConfig:
    """When two voxels that touch are of one region. The values are ours: no paper of the tables gives any.

    In three simulated rooms, in voxels of 12 cm, 73 to 83 % of the voxels were in regions of five or more,
    and 82 to 96 % of these of their region's commonest class.
    """

    angle_deg: float = 20.0  # largest angle between their normals
    colour_step: float = 0.1  # largest distance of their colours (or remissions) in [0, 1]

    def __post_init__(self) -> None:
        if not 0 <= self.angle_deg <= 90:
            raise ValueError(f"angle_deg must lie in [0, 90], got {self.angle_deg}")
        if self.colour_step < 0:
            raise ValueError(f"colour_step must not be negative, got {self.colour_step}")


@dataclass(frozen=True)
class Superpoints:
    """of_voxel (M,) int64: the superpoint of each voxel, 0 ... S-1. size (S,) int64: its voxels.

    on_edge (M,2) bool: many neighbours of the voxel have another normal, another colour.
    """

    of_voxel: Tensor
    size: Tensor
    on_edge: Tensor


@torch.no_grad()
def superpoints(features: Tensor, neighbours: KernelMap, config: SuperpointConfig) -> Superpoints:
    """The superpoints of voxels with features (M,F); neighbours: the 3x3x3 map of their level.

    Voxels of different scans never touch, so that a batch is treated like a scan.
    """
    first, second = neighbours.source.long(), neighbours.target.long()
    normal = normals(features[:, :3], neighbours)
    alignment = (normal[first] * normal[second]).sum(dim=1).abs()
    bent = alignment < math.cos(math.radians(config.angle_deg)) - 1e-6
    stepped = (features[first, 3:] - features[second, 3:]).norm(dim=1) > config.colour_step
    whole = ~(bent | stepped)
    of_voxel = _components(first[whole], second[whole], len(features))
    broken = torch.stack(
        [torch.bincount(first[breaks], minlength=len(features)) for breaks in (bent, stepped)]
    )
    on_edge = (broken > _EDGE_SHARE * torch.bincount(first, minlength=len(features))).T
    return Superpoints(of_voxel, torch.bincount(of_voxel), on_edge)


def normals(points: Tensor, neighbours: KernelMap) -> Tensor:
    """The unit normal (M,3) of points (M,3) in each one's 3x3x3 neighbourhood, its sign arbitrary.

    The direction in which the neighbourhood, the point included, spreads least; 0 where it has fewer than
    three neighbours. Places count from the point itself: squares of far coordinates would drown the spread.
    """
    source, target = neighbours.source.long(), neighbours.target.long()
    away = (points[source] - points[target]).float()
    near = torch.bincount(target, minlength=len(points))
    count = (near + 1).unsqueeze(1)
    mean = away.new_zeros(len(points), 3).index_add_(0, target, away) / count
    products = (away.unsqueeze(2) * away.unsqueeze(1)).flatten(1)
    square = (away.new_zeros(len(points), 9).index_add_(0, target, products) / count).view(-1, 3, 3)
    spread = square - mean.unsqueeze(2) * mean.unsqueeze(1)
    least = torch.linalg.eigh(spread).eigenvectors[:, :, 0]
    return least * (near >= _LEAST_NEIGHBOURS).unsqueeze(1)


def mean_by_superpoint(features: Tensor, regions: Superpoints) -> Tensor:
    """features (M,F) averaged over each superpoint, (S,F), with a gradient."""
    sums = features.new_zeros(len(regions.size), features.shape[1])
    return sums.index_add(0, regions.of_voxel, features) / regions.size.unsqueeze(1)


def _components(first: Tensor, second: Tensor, count: int) -> Tensor:
    """The connected component (count,) int64 of each node, given the edges first[i] - second[i]."""
    ends = first.cpu().numpy(), second.cpu().numpy()
    graph = coo_matrix((np.ones(len(ends[0]), np.bool_), ends), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    return torch.from_numpy(component.astype(np.int64)).to(first.device)
