from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE
from lass3d_core.labels import IGNORE
from preprocess.simulation.shapes import NOTHING, cast
from preprocess.simulation.street.materials import MATERIALS
from preprocess.simulation.street.world import Layout, Roadside, build_scene, drive, lay_out

GROUND = {"road", "parking", "sidewalk", "terrain"}


def names_in(seed: int) -> set[str]:
    rng = np.random.default_rng(seed)
    scene = build_scene(rng, lay_out(rng, 1))
    return {MATERIALS[index].name for index in np.unique(scene.material)}


def test_every_raw_id_is_an_evaluated_class_of_semantickitti() -> None:
    raw = np.array([material.raw_id for material in MATERIALS])
    assert len(set(raw)) == len(raw)
    assert (LABEL_SPACE.train_ids(raw, "materials") != IGNORE).all()


def test_equal_seeds_build_equal_streets_and_others_do_not() -> None:
    def street(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        scene = build_scene(rng, lay_out(rng, 3))
        return scene.centre, scene.colour

    assert all(np.array_equal(*pair) for pair in zip(street(4), street(4)))
    assert not np.array_equal(street(4)[0][:5], street(5)[0][:5])


def test_every_class_stands_in_most_streets_but_not_all_in_each() -> None:
    streets = [names_in(seed) for seed in range(20)]
    for material in MATERIALS:
        assert sum(material.name in street for street in streets) >= 8, material.name
    assert len({frozenset(street) for street in streets}) > 1


@pytest.mark.parametrize("seed", range(8))
def test_the_car_keeps_to_its_lane_and_nothing_stands_in_its_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = lay_out(rng, 20)
    poses = drive(rng, layout)
    scene = build_scene(rng, layout)
    for pose in poses:
        assert -layout.road_half + 0.5 < pose[1, 3] < 0
        directions = pose[:3, :3] @ np.array([[1.0, 0.0, 0.0], [1.0, 0.0, -0.2]]).T
        _, solid = cast(scene, pose[:3, 3], (directions / np.linalg.norm(directions, axis=0)).T, 7.0)
        met = {MATERIALS[scene.material[index]].name for index in solid if index != NOTHING}
        assert met <= GROUND


def test_scans_of_a_drive_are_a_metre_apart_and_nearly_level() -> None:
    rng = np.random.default_rng(0)
    poses = drive(rng, lay_out(rng, 30))
    steps = [np.linalg.norm(after[:3, 3] - before[:3, 3]) for before, after in pairwise(poses)]
    assert np.allclose(steps, 1.0, atol=0.05)
    for pose in poses:
        assert pose[:3, :3] @ pose[:3, :3].T == pytest.approx(np.eye(3), abs=1e-12)
        assert pose[2, 2] > np.cos(np.deg2rad(3))


def test_ground_rises_from_kerb_to_meadow() -> None:
    side = Roadside(sign=1, parking=2.0, sidewalk=1.5, slope=0.1)
    layout = Layout(frames=1, road_half=4.0, sides=(side, side), crossing=(10.0, 3.0))
    assert (layout.kerb(side), layout.edge(side)) == (6.0, 7.5)
    assert layout.height(side, 5.9) == 0.0
    assert layout.height(side, 7.0) == pytest.approx(0.13)
    assert layout.height(side, 9.5) == pytest.approx(0.33)
    assert layout.is_free(6.9) and not layout.is_free(7.1) and not layout.is_free(6.9, margin=0.5)
    assert layout.pieces() == [(-42.0, 7.0), (13.0, 42.0)]
