from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.methods.contract import BatchCounts
from train.methods.parts.band_mix import BandMixConfig, Pair, bands, mixed, pairs_of

COUNTS = BatchCounts((0, 1, 2, 3, 4), (2, 2, 2, 2, 2), 2, (), 0, 0, ())


def coords_of(*places: tuple[int, int, int]) -> Tensor:
    return torch.tensor([(0, *place) for place in places], dtype=torch.int32)


def test_bands_count_from_the_top_and_share_the_angle_equally() -> None:
    """Centres of voxels 10 edges away at heights of -4.5 to 1.5 edges: -24.2, -14.0, -2.9 and 8.5 degrees."""
    coords = coords_of((9, 0, -5), (9, 0, -3), (9, 0, -1), (9, 0, 1))
    inclination = [math.degrees(math.atan2(z, math.hypot(9.5, 0.5))) for z in (-4.5, -2.5, -0.5, 1.5)]
    assert inclination == pytest.approx([-25.3, -14.7, -3.0, 9.0], abs=0.1)
    # four bands of 7 degrees: [3, -4), [-4, -11), [-11, -18), [-18, -25]; beyond the ends counts as the end
    assert bands(coords, 4, (-25.0, 3.0)).tolist() == [3, 2, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 20))
def test_bands_are_those_of_the_definition_and_need_no_voxel_size(seed: int, areas: int, scale: int) -> None:
    places = np.random.default_rng(seed).integers(-60, 60, (30, 3)) * [1, 1, 0] + np.random.default_rng(
        seed + 1
    ).integers(-20, 6, (30, 3)) * [0, 0, 1]
    found = bands(coords_of(*places.tolist()), areas, (-25.0, 3.0)).tolist()
    edges = np.linspace(3.0, -25.0, areas + 1)
    for place, band in zip((places + 0.5) * scale, found):
        pitch = math.degrees(math.atan2(place[2], math.hypot(place[0], place[1])))
        pitch = min(max(pitch, -25.0 + 1e-5), 3.0 - 1e-5)
        assert edges[band + 1] - 1e-9 <= pitch <= edges[band] + 1e-9


def test_the_nth_labelled_scan_is_mixed_with_the_nth_unlabelled_one() -> None:
    pairs = pairs_of(COUNTS, (3, 4), seed=0, step=0)
    assert [pair[:2] for pair in pairs] == [(slice(0, 2), slice(4, 6)), (slice(2, 4), slice(6, 8))]
    labelled_alone = BatchCounts((0, 1), (2, 2), 2, (), 0, 0, ())
    assert pairs_of(labelled_alone, (3, 4), seed=0, step=0) == []


def drawn(seed: int) -> list[list[int]]:
    return [[pair.areas for pair in pairs_of(COUNTS, (3, 4, 5, 6), seed, step)] for step in range(40)]


def test_number_of_bands_is_drawn_for_each_pair_and_step() -> None:
    assert {areas for pair in drawn(0) for areas in pair} == {3, 4, 5, 6}
    assert any(first != second for first, second in drawn(0))
    assert drawn(0) == drawn(0) != drawn(1)


def test_a_mix_takes_even_bands_of_one_scan_and_odd_bands_of_the_other() -> None:
    """Two bands, above and below the horizon; a labelled and an unlabelled scan have a voxel in each."""
    coords = torch.tensor([[0, 3, 0, 1], [0, 3, 0, -2], [1, 4, 0, 1], [1, 4, 0, -2]], dtype=torch.int32)
    mix = mixed(coords, [Pair(slice(0, 2), slice(2, 4), 2)], (-45.0, 45.0))
    assert mix.rows.tolist() == [0, 1, 2, 3]
    assert mix.coords[:, 0].tolist() == [0, 1, 1, 0]  # mix 0: above of the labelled scan, below of the other
    assert torch.equal(mix.coords[:, 1:], coords[:, 1:])


def test_the_voxels_of_several_mixes_keep_their_order() -> None:
    coords = torch.cat([torch.arange(10)[:, None], torch.full((10, 3), 4)], dim=1).int()
    mix = mixed(coords, pairs_of(COUNTS, (1,), seed=0, step=0), (-45.0, 45.0))
    assert mix.rows.tolist() == list(range(8)), "the scan without a partner is in no mix"
    assert mix.coords[:, 0].tolist() == [0, 0, 2, 2, 1, 1, 3, 3]


@pytest.mark.parametrize(
    "setting", [{"areas": ()}, {"areas": (0, 3)}, {"pitch_deg": (3.0, -25.0)}, {"weight": -1}, {"seed": -1}]
)
def test_value_out_of_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        BandMixConfig(**setting)
