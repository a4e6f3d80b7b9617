from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.clouds.names import colour_scale, column_named, thing_of


def test_a_column_is_found_in_any_case_and_by_any_name_of_the_thing() -> None:
    assert column_named("Remission", ["X", "scalar_Intensity"]) == "scalar_Intensity"
    assert column_named("ring", ["RING", "r"]) == "RING" and column_named("ring", ["r"]) is None
    assert [thing_of(name) for name in ("I", "R", "diffuse_blue", "ring")] == [
        "intensity",
        "red",
        "blue",
        None,
    ]


@pytest.mark.parametrize(
    ("most", "kind", "scale"),
    [
        ((255, 3, 0), np.uint8, 255),
        ((9, 3, 0), np.uint8, 255),
        ((65535, 9, 9), np.uint16, 65535),
        ((9, 256, 9), np.uint16, 65535),
        ((255, 9, 9), np.uint16, 255),
        ((255, 9, 9), np.int32, 255),
        ((1.0, 0.5, 0), np.float32, 1),
        ((200.0, 0.5, 0), np.float64, 1),
    ],
)
def test_colours_are_scaled_by_their_type_all_three_alike(
    most: tuple[float, ...], kind: type, scale: float
) -> None:
    columns = {name: np.array([0, value], kind) for name, value in zip(("Red", "g", "diffuse_blue"), most)}
    assert colour_scale(columns | {"intensity": np.array([4000], np.uint16)}) == scale


def test_a_cloud_without_colours_or_points_has_a_scale() -> None:
    assert colour_scale({"intensity": np.array([7], np.uint16)}) == 1
    assert colour_scale({"red": np.zeros(0, np.uint16)}) == 255
