from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lass3d_core.sparse.voxels import collate
from train.methods.parts.crops import Crop, two_fans, two_windows

few = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**31)
EDGE = 0.25


def scan(seed: int, count: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Voxels about the sensor, x, y, z of their centres in metres and a brightness, rows from 1000 on."""
    places = np.unique(np.random.default_rng(seed).integers(-20, 20, (count, 3)), axis=0)
    coords = collate([torch.from_numpy(places).int()])
    metres = (coords[:, 1:].float() + 0.5) * EDGE
    features = torch.cat([metres, torch.arange(len(metres)).float()[:, None]], dim=1)
    return coords, features, torch.arange(1000, 1000 + len(coords))


@few
@given(seeds)
def test_two_fans_share_a_voxel_and_are_as_wide_as_asked(seed: int) -> None:
    coords, features, rows = scan(seed)
    first, second = two_fans(Crop(rows, coords, features), (120.0, 240.0), np.random.default_rng(seed))
    assert set(first.rows.tolist()) & set(second.rows.tolist())
    for crop in (first, second):
        azimuth = torch.atan2(coords[crop.rows - 1000, 2] + 0.5, coords[crop.rows - 1000, 1] + 0.5)
        ordered = azimuth.rad2deg().sort().values
        gaps = torch.cat([ordered.diff(), ordered[:1] + 360 - ordered[-1:]])
        assert 360 - float(gaps.max()) <= 240.001  # the voxels leave at least the rest of the circle free
        assert len(crop.rows) > len(rows) / 6


@few
@given(seeds)
def test_a_full_circle_is_the_whole_scan(seed: int) -> None:
    coords, features, rows = scan(seed)
    for crop in two_fans(Crop(rows, coords, features), (360.0, 360.0), np.random.default_rng(seed)):
        assert torch.equal(crop.rows, rows)


@few
@given(seeds)
def test_a_turned_voxel_still_has_its_features_at_its_place(seed: int) -> None:
    """Distances from the axis, heights and everything else stay; places and metres go together."""
    coords, features, rows = scan(seed)
    for crop in two_fans(Crop(rows, coords, features), (90.0, 300.0), np.random.default_rng(seed)):
        before = features[crop.rows - 1000]
        torch.testing.assert_close(crop.features[:, :3], (crop.coords[:, 1:].float() + 0.5) * EDGE)
        torch.testing.assert_close(crop.features[:, :2].norm(dim=1), before[:, :2].norm(dim=1))
        assert torch.equal(crop.features[:, 2:], before[:, 2:])
        assert len(crop.coords.unique(dim=0)) == len(crop.coords)


def test_all_eight_turns_and_mirrorings_come_up() -> None:
    """A single voxel off all axes of symmetry has eight images."""
    coords = torch.tensor([[0, 2, 5, 1]], dtype=torch.int32)
    features = torch.tensor([[2.5, 5.5, 1.5]])
    rng = np.random.default_rng(0)
    images = {
        tuple(crop.coords[0].tolist())
        for _ in range(60)
        for crop in two_fans(Crop(torch.tensor([0]), coords, features), (120.0, 360.0), rng)
    }
    assert len(images) == 8
    assert {(0, 2, 5, 1), (0, -6, 2, 1), (0, -3, -6, 1), (0, -3, 5, 1)} <= images


@few
@given(seeds)
def test_two_windows_share_a_voxel_and_start_at_their_corner(seed: int) -> None:
    coords, features, rows = scan(seed)
    extent = coords[:, 1:3].amax(dim=0) - coords[:, 1:3].amin(dim=0)
    first, second = two_windows(Crop(rows, coords, features), 0.75, np.random.default_rng(seed))
    assert set(first.rows.tolist()) & set(second.rows.tolist())
    for crop in (first, second):
        assert crop.coords[:, 1:3].amin(dim=0).tolist() == [0, 0]
        assert crop.features[:, :2].amin(dim=0).tolist() == [0, 0]
        torch.testing.assert_close(crop.features[:, :2], crop.coords[:, 1:3].float() * EDGE)
        assert int(crop.coords[:, 1:3].max()) <= 0.75 * float(extent.max()) + 1
        assert torch.equal(crop.features[:, 2:], features[crop.rows - 1000, 2:])


def test_the_scan_itself_is_not_altered() -> None:
    coords, features, rows = scan(3)
    before = coords.clone(), features.clone()
    two_fans(Crop(rows, coords, features), (120.0, 360.0), np.random.default_rng(1))
    two_windows(Crop(rows, coords, features), 0.75, np.random.default_rng(1))
    assert torch.equal(coords, before[0]) and torch.equal(features, before[1])


def test_joined_crops_follow_one_another() -> None:
    coords, features, rows = scan(4)
    crops = [Crop(rows[part], coords[part], features[part]) for part in (slice(0, 3), slice(3, 7))]
    joined = Crop.concat(crops)
    assert torch.equal(joined.rows, rows[:7])
    assert torch.equal(joined.coords, coords[:7]) and torch.equal(joined.features, features[:7])
