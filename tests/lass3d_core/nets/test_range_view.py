from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lass3d_core.nets.range_view import RangeImageConfig, image_columns, image_rows, range_view

SMALL = RangeImageConfig(4, 8, (-20.0, 20.0))
"""Rows of 10 degrees, columns of 45."""


def at(azimuth_deg: float, pitch_deg: float, distance: float = 10.0) -> list[float]:
    azimuth, pitch = math.radians(azimuth_deg), math.radians(pitch_deg)
    level = distance * math.cos(pitch)
    return [level * math.cos(azimuth), level * math.sin(azimuth), distance * math.sin(pitch)]


def one_scan(*points: list[float]) -> tuple[Tensor, Tensor]:
    return torch.tensor(points), torch.zeros(len(points), dtype=torch.int32)


def test_straight_ahead_is_in_the_middle_and_left_is_to_the_left() -> None:
    points, _ = one_scan(at(-1, 0), at(1, 0), at(89, 0), at(-91, 0))
    assert image_columns(points, SMALL).tolist() == [4, 3, 2, 6]


def test_the_seam_is_behind_the_sensor() -> None:
    points, _ = one_scan(at(179, 0), at(-179, 0), [-5.0, 0.0, 0.0], [-5.0, -0.0, 0.0])
    assert image_columns(points, SMALL).tolist() == [0, 7, 0, 0]


def test_rows_count_from_the_top_and_end_with_what_lies_beyond() -> None:
    points, _ = one_scan(*(at(30, pitch) for pitch in (80, 19, 11, 9, -9, -19, -80)))
    assert image_rows(points, SMALL).tolist() == [0, 0, 0, 1, 2, 3, 3]


def test_nearest_point_is_shown_and_the_others_know_how_far_behind_it_they_are() -> None:
    view = range_view(*one_scan(at(10, 5, 7.0), at(12, 6, 4.0), at(60, 5, 9.0), at(14, 3, 4.5)), SMALL)
    assert view.pixel.tolist() == [8 + 3, 8 + 3, 8 + 2, 8 + 3]
    assert view.nearest[11] == 1 and view.nearest[10] == 2
    assert (view.nearest == 4).sum() == 30  # the other pixels are empty
    torch.testing.assert_close(view.distance, torch.tensor([7.0, 4.0, 9.0, 4.5]))
    torch.testing.assert_close(view.behind, torch.tensor([3.0, 0.0, 0.0, 0.5]))


def test_first_of_equally_near_points_is_shown() -> None:
    view = range_view(*one_scan(at(10, 5), at(10, 5), at(10, 5)), SMALL)
    assert view.nearest[11] == 0 and (view.nearest < 3).sum() == 1
    assert view.behind.tolist() == [0, 0, 0]


def test_every_scan_has_an_image_whatever_its_number() -> None:
    points, _ = one_scan(at(10, 5), at(10, 5), at(10, 5))
    view = range_view(points, torch.tensor([7, 2, 7], dtype=torch.int32), SMALL)
    assert view.scans == 2
    assert view.pixel.tolist() == [32 + 11, 11, 32 + 11]
    assert view.nearest[[11, 43]].tolist() == [1, 0]


def test_the_sensor_itself_has_a_pixel() -> None:
    view = range_view(*one_scan([0.0, 0.0, 0.0]), SMALL)
    assert view.pixel.tolist() == [2 * 8 + 4] and view.distance.tolist() == [0.0]


def test_no_points_make_no_image() -> None:
    view = range_view(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int32), SMALL)
    assert (view.scans, len(view.pixel), len(view.nearest)) == (0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9))
def test_images_are_those_of_a_loop_over_points(seed: int, height: int, width: int) -> None:
    config = RangeImageConfig(height, width, (-30.0, 10.0))
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(40, 3, generator=generator) * torch.tensor([10.0, 10.0, 2.0])
    scan = torch.randint(0, 3, (40,), generator=generator)
    view = range_view(points, scan, config)
    numbers = sorted(set(scan.tolist()))
    shown: dict[int, int] = {}
    for index, ((x, y, z), number) in enumerate(zip(points.tolist(), scan.tolist())):
        pitch = math.degrees(math.atan2(z, math.hypot(x, y)))
        row = min(max(math.floor((10.0 - pitch) / 40.0 * height), 0), height - 1)
        column = math.floor((math.pi - math.atan2(y, x)) / (2 * math.pi) * width) % width
        pixel = (numbers.index(number) * height + row) * width + column
        assert view.pixel[index] == pixel
        if pixel not in shown or view.distance[index] < view.distance[shown[pixel]]:
            shown[pixel] = index
    expected = [shown.get(pixel, 40) for pixel in range(len(numbers) * height * width)]
    assert view.nearest.tolist() == expected
    torch.testing.assert_close(view.behind, view.distance - view.distance[view.nearest[view.pixel]])


def test_a_quarter_turn_rolls_the_image() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(60, 3, generator=generator)
    turned = points[:, [1, 0, 2]] * torch.tensor([-1.0, 1.0, 1.0])  # to the left, counter-clockwise
    straight, left = (
        range_view(cloud, torch.zeros(60), SMALL).nearest.view(4, 8) for cloud in (points, turned)
    )
    assert torch.equal(left, straight.roll(-2, dims=1))


@pytest.mark.parametrize(
    "wrong", [{"height": 0}, {"width": -1}, {"pitch_deg": (3.0, -25.0)}, {"pitch_deg": (-100.0, 0.0)}]
)
def test_value_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RangeImageConfig(**wrong)
