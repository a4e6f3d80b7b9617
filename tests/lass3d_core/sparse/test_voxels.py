from __future__ import annotations

from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.sparse.voxels import (
    Voxels,
    collate,
    first_valid,
    lattice_keys,
    lattice_steps,
    majority_label,
    mean_by_voxel,
    voxelise,
)

POINTS = torch.tensor([[0.9, 0.0, 0.0], [-0.1, 0.0, 0.0], [0.1, 0.2, 0.4], [0.0, 0.0, 0.5]])
"""With 0.5 m voxels: (1,0,0), (-1,0,0), (0,0,0), (0,0,1)."""


def random_points(seed: int, count: int, spread: float = 1.5) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) * spread


def points_of_each_voxel(voxels: Voxels) -> dict[int, list[int]]:
    members = defaultdict(list)
    for point, voxel in enumerate(voxels.inverse.tolist()):
        members[voxel].append(point)
    return members


def test_coordinates_are_floors_and_sorted() -> None:
    voxels = voxelise(POINTS, 0.5)
    assert voxels.coords.tolist() == [[-1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert voxels.coords.dtype == torch.int32
    assert voxels.inverse.tolist() == [3, 0, 1, 2]
    assert voxels.first.tolist() == [1, 2, 3, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.sampled_from([0.1, 0.3, 1.0]))
def test_voxels_equal_a_brute_force_twin(seed: int, count: int, size: float) -> None:
    points = random_points(seed, count)
    voxels = voxelise(points, size)
    cells = [tuple(int(value // size) for value in point) for point in points.double().tolist()]
    occupied = sorted(set(cells))
    assert [tuple(row) for row in voxels.coords.tolist()] == occupied
    assert [occupied[voxel] for voxel in voxels.inverse.tolist()] == cells
    assert voxels.first.tolist() == [cells.index(cell) for cell in occupied]


def test_point_order_changes_nothing_but_the_inverse() -> None:
    points = random_points(0, 200)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    straight, shuffled = voxelise(points, 0.4), voxelise(points[order], 0.4)
    assert torch.equal(straight.coords, shuffled.coords)
    assert torch.equal(straight.inverse[order], shuffled.inverse)


def test_no_points_have_no_voxels() -> None:
    voxels = voxelise(torch.empty(0, 3), 0.1)
    assert voxels.coords.shape == (0, 3)
    assert mean_by_voxel(torch.empty(0, 4), voxels).shape == (0, 4)
    assert majority_label(torch.empty(0, dtype=torch.int64), voxels, 5).shape == (0,)
    assert first_valid(torch.empty(0, dtype=torch.int64), voxels).shape == (0,)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e8])
def test_point_that_fits_no_voxel_is_named(bad: float) -> None:
    points = torch.zeros(5, 3)
    points[3, 1] = bad
    with pytest.raises(DataError, match="point 3"):
        voxelise(points, 0.1)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_voxel_size_must_be_positive(size: float) -> None:
    with pytest.raises(DataError, match="voxel size"):
        voxelise(POINTS, size)


def test_box_too_large_for_its_keys_is_refused() -> None:
    far = torch.tensor([[-2e9, -2e9, -2e9], [2e9, 2e9, 2e9]])
    with pytest.raises(DataError, match="crop the scan"):
        voxelise(far, 1.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_pooling_equals_a_brute_force_twin(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = random_points(seed, 80)
    features = torch.randn(80, 3, generator=generator)
    labels = torch.randint(0, 4, (80,), generator=generator)
    labels[torch.rand(80, generator=generator) < 0.4] = 255
    indices = torch.randint(-1, 6, (80,), generator=generator)
    voxels = voxelise(points, 1.0)
    means, majority = mean_by_voxel(features, voxels), majority_label(labels, voxels, 4)
    text = first_valid(indices, voxels)
    for voxel, members in points_of_each_voxel(voxels).items():
        assert torch.allclose(means[voxel], features[members].mean(dim=0), atol=1e-6)
        votes = Counter(label for label in labels[members].tolist() if label != 255)
        winner = min(votes, key=lambda label: (-votes[label], label)) if votes else 255
        assert majority[voxel] == winner
        assert text[voxel] == next((index for index in indices[members].tolist() if index >= 0), -1)


def test_tied_vote_goes_to_the_smallest_id() -> None:
    together = voxelise(torch.zeros(5, 3), 1.0)
    assert majority_label(torch.tensor([3, 255, 1, 1, 3]), together, 4).tolist() == [1]


def test_ignored_points_do_not_vote() -> None:
    together = voxelise(torch.zeros(4, 3), 1.0)
    assert majority_label(torch.tensor([255, 255, 255, 2]), together, 4).tolist() == [2]
    assert majority_label(torch.tensor([255, 255, 255, 255]), together, 4).tolist() == [255]


@pytest.mark.parametrize("label", [-1, 4, 254])
def test_label_outside_the_classes_is_refused(label: int) -> None:
    together = voxelise(torch.zeros(2, 3), 1.0)
    with pytest.raises(DataError, match=r"0\.\.3"):
        majority_label(torch.tensor([0, label]), together, 4)


def test_collated_rows_carry_their_scan() -> None:
    first = torch.tensor([[1, 2, 3], [-4, 5, 6]], dtype=torch.int32)
    none = torch.empty(0, 3, dtype=torch.int32)
    last = torch.tensor([[7, 8, 9]], dtype=torch.int32)
    together = collate([first, none, last])
    assert together.tolist() == [[0, 1, 2, 3], [0, -4, 5, 6], [2, 7, 8, 9]]
    assert together.dtype == torch.int32
    assert collate([]).shape == (0, 4)


def test_keys_are_ordered_as_rows_and_step_by_constants() -> None:
    coords = torch.tensor([[0, -2, 5, 1], [0, 3, -5, 1], [0, 3, -4, 0], [1, -2, -5, 0]], dtype=torch.int32)
    keys = lattice_keys(coords, margin=1).tolist()
    assert keys == sorted(keys) and len(set(keys)) == 4
    _, _, step_y, step_z = lattice_steps(coords, margin=1)
    assert keys[2] - keys[1] == step_y - step_z


def test_a_step_over_the_edge_reaches_no_other_row() -> None:
    corners = torch.cartesian_prod(*[torch.tensor([-1, 2])] * 4).int()
    keys = set(lattice_keys(corners, margin=1).tolist())
    _, *steps = lattice_steps(corners, margin=1)
    for x, y, z in torch.cartesian_prod(*[torch.tensor([-1, 0, 1])] * 3).tolist():
        step = x * steps[0] + y * steps[1] + z * steps[2]
        assert step == 0 or not keys & {key + step for key in keys}
