from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lass3d_core.nets.superpoints import (
    SuperpointConfig,
    Superpoints,
    mean_by_superpoint,
    superpoints,
    voxel_normals,
)
from lass3d_core.sparse.maps import KernelMap, build_pyramid

SIZE = 0.1
"""Edge of a voxel, metres."""


def voxels(places: list[tuple[int, int, int]], scan: int = 0) -> tuple[Tensor, KernelMap]:
    """Centres in metres (M,3), and which voxels touch."""
    coords = torch.tensor([(scan, *place) for place in places], dtype=torch.int32)
    return (coords[:, 1:].float() + 0.5) * SIZE, build_pyramid(coords, 1).submanifold[0]


FLOOR = [(x, y, 0) for x in range(8) for y in range(8)]
WALL = [(8, y, z) for y in range(8) for z in range(8)]


def test_normals_of_a_floor_and_of_a_wall_are_those_of_their_planes() -> None:
    for places, axis in ((FLOOR, 2), (WALL, 0)):
        points, neighbours = voxels(places)
        expected = torch.zeros(64, 3)
        expected[:, axis] = 1
        torch.testing.assert_close(voxel_normals(points, neighbours).abs(), expected, atol=1e-4, rtol=0)


def test_normal_of_a_slope_is_that_of_the_plane_far_from_the_origin() -> None:
    """A plane tilted by 30 degrees, 100 m away, where squares of float32 coordinates are off by a metre."""
    points, neighbours = voxels(FLOOR)
    points[:, 2] = math.tan(math.radians(30)) * points[:, 0]
    found = voxel_normals(points + torch.tensor([100.0, -60.0, 2.0]), neighbours)
    expected = torch.tensor([-math.sin(math.radians(30)), 0.0, math.cos(math.radians(30))])
    assert bool(((found @ expected).abs() > math.cos(math.radians(1))).all())


def test_voxel_with_fewer_than_three_neighbours_has_no_normal() -> None:
    points, neighbours = voxels([(0, 0, 0), (1, 0, 0), (1, 1, 0), (5, 5, 5)])
    assert not voxel_normals(points, neighbours).any()


def test_floor_and_wall_are_two_regions_and_their_crease_is_an_edge_of_geometry() -> None:
    points, neighbours = voxels(FLOOR + WALL)
    features = torch.cat([points, torch.full((128, 1), 0.5)], dim=1)
    regions = superpoints(features, neighbours, SuperpointConfig())
    inner_floor, inner_wall = regions.of_voxel[:48], regions.of_voxel[64:].view(8, 8)[:, 3:].flatten()
    assert len(inner_floor.unique()) == len(inner_wall.unique()) == 1
    assert inner_floor[0] != inner_wall[0]
    geometry, colour = regions.on_edge.unbind(dim=1)
    assert not colour.any()
    assert bool(geometry[56:64].any()) and not bool(geometry[:40].any())


def test_a_rug_on_the_floor_is_a_region_by_its_colour() -> None:
    points, neighbours = voxels(FLOOR)
    rug = torch.tensor([2 <= x < 5 and 2 <= y < 5 for x, y, _ in FLOOR])
    colours = torch.where(rug.unsqueeze(1), torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.5, 0.5, 0.5]))
    regions = superpoints(torch.cat([points, colours], dim=1), neighbours, SuperpointConfig())
    assert sorted(regions.size.tolist()) == [9, 55]
    assert len(regions.of_voxel[rug].unique()) == 1
    centre = torch.tensor([place == (3, 3, 0) for place in FLOOR])
    assert regions.on_edge[rug, 1].tolist() == (~centre[rug]).tolist()
    beside, at_the_corner = (FLOOR.index(place) for place in ((1, 3, 0), (1, 1, 0)))
    assert regions.on_edge[[beside, at_the_corner], 1].tolist() == [True, False]  # 3 and 1 of 8 neighbours


def test_a_slow_change_of_colour_breaks_nothing() -> None:
    """Steps of .03 a voxel: from end to end .21, twice the threshold, but region growing looks at steps."""
    points, neighbours = voxels(FLOOR)
    shade = torch.tensor([[0.03 * x] for x, _, _ in FLOOR])
    regions = superpoints(torch.cat([points, shade], dim=1), neighbours, SuperpointConfig())
    assert regions.size.tolist() == [64]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_regions_are_the_connected_components_of_like_colour(seed: int, count: int) -> None:
    """Flood fill, with geometry out of the way."""
    rng = np.random.default_rng(seed)
    grid = list(itertools.product(range(5), range(5), range(2)))
    places = [grid[index] for index in rng.permutation(len(grid))[:count]]
    colour = rng.integers(0, 2, len(places))
    points, neighbours = voxels(places)
    features = torch.cat([points, torch.from_numpy(colour).float()[:, None]], dim=1)
    found = superpoints(features, neighbours, SuperpointConfig(angle_deg=90.0)).of_voxel.tolist()
    for start in range(len(places)):
        reached, front = {start}, [start]
        while front:
            here = front.pop()
            for other in range(len(places)):
                near = max(abs(a - b) for a, b in zip(places[here], places[other])) == 1
                if near and other not in reached and colour[other] == colour[here]:
                    reached.add(other)
                    front.append(other)
        assert {index for index, region in enumerate(found) if region == found[start]} == reached


def test_scans_of_a_batch_do_not_grow_together() -> None:
    coords = torch.tensor([(scan, *place) for scan in range(2) for place in FLOOR], dtype=torch.int32)
    features = torch.cat([coords[:, 1:] * SIZE, torch.zeros(128, 1)], dim=1)
    regions = superpoints(features, build_pyramid(coords, 1).submanifold[0], SuperpointConfig())
    assert regions.size.tolist() == [64, 64]


def test_mean_by_superpoint_is_a_mean_with_a_gradient() -> None:
    regions = Superpoints(torch.tensor([0, 1, 0]), torch.tensor([2, 1]), torch.zeros(3, 2, dtype=torch.bool))
    features = torch.tensor([[1.0], [5.0], [2.0]], requires_grad=True)
    mean = mean_by_superpoint(features, regions)
    assert mean.tolist() == [[1.5], [5.0]]
    mean[0].sum().backward()
    assert features.grad.flatten().tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("setting", [{"angle_deg": 91.0}, {"angle_deg": -1.0}, {"colour_step": -0.1}])
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        SuperpointConfig(**setting)
