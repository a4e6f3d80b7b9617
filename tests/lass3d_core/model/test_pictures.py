from __future__ import annotations

import numpy as np

from lass3d_core.model.pictures import GROUND, as_data_url, picture


def test_every_point_is_seen_in_its_colour_or_covered_by_a_nearer_one() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, (500, 3)) * [1, 1, 0.1]
    colours = np.full((500, 3), (200, 10, 10), np.uint8)
    image = picture(points, colours, (120, 200))
    assert image.shape == (120, 200, 3)
    assert {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()} == {GROUND, (200, 10, 10)}


def test_one_point_and_one_place_are_drawn() -> None:
    for points in (np.zeros((1, 3)), np.ones((9, 3))):
        assert (picture(points, np.full((len(points), 3), 255, np.uint8), (40, 40)) == 255).any()


def test_a_picture_fits_into_a_page() -> None:
    assert as_data_url(np.zeros((2, 2, 3), np.uint8)).startswith("data:image/png;base64,")
