"""Superpoints: regions of a voxelised scan without a break in geometry or colour, and their edges.

Two voxels that touch are connected if their normals agree and their colours agree. A superpoint is a
connected component: region growing by smoothness and by colour at once.
Decision: they are found where the kernel maps are, once per batch, not in the loader. A loader for a GPU
need not build maps, and without them it cannot find superpoints.
Letters: M voxels, S superpoints, F features. The first three features are x, y, z in metres.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.nets.components import connected_components
from lass3d_core.nets.eigenvectors import least_eigenvector
from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import KernelMap

_LEAST_NEIGHBOURS = 3  # a voxel with fewer has no normal: its neighbourhood is no surface

# A voxel is on an edge if more than this share of its neighbours differs from it. A voxel of a surface has
# eight neighbours; three of them lie across a straight edge. One neighbour is not enough: by noise, 0.9 of
# the voxels of the simulated rooms have a neighbour of another colour.
_EDGE_SHARE = 0.25


@dataclass(frozen=True, config=SETTINGS)
class SuperpointConfig:
    """When two voxels that touch are connected. The values are ours: no paper of the tables gives any.

    In three simulated rooms, in voxels of 12 cm, 73 to 83 % of the voxels were in regions of five or more. Of
    these, 82 to 96 % had the commonest class of their region.
    """

    angle_deg: float = Field(default=20.0, ge=0, le=90)  # largest angle between their normals
    colour_step: NonNegativeFloat = 0.1  # largest distance of their colours (or remissions) in [0, 1]


class Superpoints(NamedTuple):
    """of_voxel (M,) int64: the superpoint of each voxel, 0 ... S-1. size (S,) int64: its number of voxels.

    on_edge (M,2) bool: many neighbours of the voxel have another normal; another colour.
    """

    of_voxel: Tensor
    size: Tensor
    on_edge: Tensor


@torch.no_grad()
def superpoints(features: Tensor, neighbours: KernelMap, config: SuperpointConfig) -> Superpoints:
    """Find the superpoints of voxels with features (M,F). neighbours: the 3x3x3 map of their level."""
    first, second = neighbours.source.long(), neighbours.target.long()
    normal = voxel_normals(features[:, :3], neighbours)
    alignment = (normal[first] * normal[second]).sum(dim=1).abs()
    bent = alignment < math.cos(math.radians(config.angle_deg)) - 1e-6
    stepped = (features[first, 3:] - features[second, 3:]).norm(dim=1) > config.colour_step
    whole = ~(bent | stepped)
    of_voxel = connected_components(first[whole], second[whole], len(features))
    ends = first, first[bent], first[stepped]
    near, *broken = (torch.bincount(voxels, minlength=len(features)) for voxels in ends)
    on_edge = (torch.stack(broken) > _EDGE_SHARE * near).T
    return Superpoints(of_voxel, torch.bincount(of_voxel), on_edge)


def voxel_normals(points: Tensor, neighbours: KernelMap) -> Tensor:
    """The unit normal (M,3) of each of points (M,3); its sign is arbitrary. 0 with fewer than 3 neighbours.

    It is the direction in which the 3x3x3 neighbourhood, the point included, spreads least.
    """
    source, target = neighbours.source.long(), neighbours.target.long()
    # Relative to the point itself: the squares of large coordinates would swamp the spread.
    away = (points[source] - points[target]).float()
    near = torch.bincount(target, minlength=len(points))
    count = (near + 1).unsqueeze(1)
    mean = away.new_zeros(len(points), 3).index_add_(0, target, away) / count
    products = (away.unsqueeze(2) * away.unsqueeze(1)).flatten(1)
    square = (away.new_zeros(len(points), 9).index_add_(0, target, products) / count).view(-1, 3, 3)
    spread = square - mean.unsqueeze(2) * mean.unsqueeze(1)
    return least_eigenvector(spread) * (near >= _LEAST_NEIGHBOURS).unsqueeze(1)


def mean_by_superpoint(features: Tensor, regions: Superpoints) -> Tensor:
    """The mean (S,F) of features (M,F) over each superpoint, with a gradient."""
    sums = features.new_zeros(len(regions.size), features.shape[1])
    return sums.index_add(0, regions.of_voxel, features) / regions.size.unsqueeze(1)
