from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.geometry.projection import project
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from preprocess.simulation.shapes import Scene, Shape
from preprocess.simulation.street.materials import MATERIALS
from preprocess.simulation.street.objects import part
from preprocess.simulation.street.rig import cameras
from preprocess.simulation.street.sensors import LidarModel, Sweep, camera_image, sweep
from preprocess.simulation.street.world import build_scene, drive, lay_out

IN_IMAGE = Visibility(kind="none")


@pytest.fixture(scope="module")
def sweeps() -> list[Sweep]:
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        layout = lay_out(rng, 1)
        found.append(sweep(build_scene(rng, layout), drive(rng, layout)[0], rng, LidarModel()))
    return found


def covered_share(turn: Sweep, count: int) -> float:
    seen = np.zeros(len(turn.points), bool)
    for camera in cameras(count).values():
        seen[visible_pixels(camera, turn.points, IN_IMAGE).point] = True
    return float(seen.mean())


def test_scan_holds_five_to_seven_thousand_points(sweeps: list[Sweep]) -> None:
    assert all(4500 < len(turn.points) < 7200 for turn in sweeps)


def test_values_are_finite_and_within_range(sweeps: list[Sweep]) -> None:
    for turn in sweeps:
        assert turn.points.dtype == turn.remission.dtype == np.float32
        assert turn.raw_labels.dtype == np.uint32
        assert np.isfinite(turn.points).all()
        assert np.linalg.norm(turn.points, axis=1).max() < LidarModel().range_m + 1.5
        assert turn.remission.min() >= 0 and turn.remission.max() < 1


def test_classes_are_long_tailed(sweeps: list[Sweep]) -> None:
    labels = np.concatenate([turn.raw_labels for turn in sweeps])
    share = {material.name: np.mean(labels == material.raw_id) for material in MATERIALS}
    assert share["road"] > 0.25
    assert min(share.values()) > 0.001
    assert sum(value < 0.02 for value in share.values()) >= 4
    assert sum(sorted(share.values())[-4:]) > 0.6


def test_remission_helps_little(sweeps: list[Sweep]) -> None:
    labels = np.concatenate([turn.raw_labels for turn in sweeps])
    remission = np.concatenate([turn.remission for turn in sweeps])
    means = np.array([material.remission for material in MATERIALS])
    raw = np.array([material.raw_id for material in MATERIALS])
    guess = raw[np.abs(remission[:, None] - means).argmin(axis=1)]
    assert np.mean(guess == labels) < 0.45


def test_a_fifth_of_the_points_falls_into_the_front_image(sweeps: list[Sweep]) -> None:
    shares = [covered_share(turn, 1) for turn in sweeps]
    assert 0.12 < np.mean(shares) < 0.30


def test_four_cameras_see_most_points(sweeps: list[Sweep]) -> None:
    assert np.mean([covered_share(turn, 4) for turn in sweeps]) > 0.75


def test_equal_seeds_measure_equally() -> None:
    def measured() -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(3)
        layout = lay_out(rng, 1)
        scene, pose = build_scene(rng, layout), drive(rng, layout)[0]
        turn = sweep(scene, pose, rng, LidarModel())
        return turn.points, camera_image(scene, pose, cameras(1)["image_2"], rng)

    assert all(np.array_equal(first, second) for first, second in zip(measured(), measured()))


@pytest.mark.parametrize("name", ["image_2", "image_3", "image_4", "image_5"])
def test_point_of_a_box_falls_on_the_pixels_of_the_box(name: str) -> None:
    camera = cameras(4)[name]
    ahead = camera.cam_from_points[2, :3]
    pose = np.eye(4)
    pose[:3, 3] = 3.0, -2.0, 1.7
    centre = pose[:3, 3] + 10 * ahead + (0.0, 0.0, 0.6)
    red = np.array([0.9, 0.1, 0.1])
    scene = Scene.of([part(Shape.BOX, "car", red, tuple(centre), (0.5, 0.5, 0.5))], np.array([0.0, 0.0, 1.0]))
    rng = np.random.default_rng(0)
    image = camera_image(scene, pose, camera, rng).astype(int)
    turn = sweep(scene, pose, rng, LidarModel(azimuths=1440, beams=128, dust=0.0))
    uv, _ = project(camera, turn.points)
    u, v = np.floor(uv).astype(int).T
    is_red = image[..., 0] > image[..., 2] + 30
    assert len(uv) > 100
    assert is_red[v, u].mean() > 0.95  # noise in range moves points at the rim
    rows, columns = np.nonzero(is_red)
    assert abs(u.min() - columns.min()) <= 1 and abs(u.max() - columns.max()) <= 1
    assert abs(v.min() - rows.min()) <= 1 and abs(v.max() - rows.max()) <= 1


def test_light_from_above_leaves_walls_darker_than_roofs() -> None:
    camera = cameras(1)["image_2"]
    pose = np.eye(4)
    pose[:3, 3] = 0.0, 0.0, 4.0
    box = part(Shape.BOX, "truck", np.array([0.8, 0.4, 0.1]), (8.0, 0.0, 1.5), (2.0, 3.0, 1.5))
    image = camera_image(Scene.of([box], np.array([0.0, 0.0, 1.0])), pose, camera, np.random.default_rng(0))
    uv, _ = project(camera, np.array([[8.0, 0.0, -1.0], [6.0, 0.0, -2.0]], np.float32))
    roof, wall = (image[v - 2 : v + 3, u] for u, v in uv.astype(int))
    assert roof.mean() > 1.2 * wall.mean()


def test_nothing_but_sky_gives_no_points_and_a_blue_image() -> None:
    far = part(Shape.BOX, "car", np.zeros(3), (500.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    scene = Scene.of([far], np.array([0.0, 0.0, 1.0]))
    turn = sweep(scene, np.eye(4), np.random.default_rng(0), LidarModel())
    image = camera_image(scene, np.eye(4), cameras(1)["image_2"], np.random.default_rng(0))
    assert len(turn.points) == len(turn.raw_labels) == 0
    assert image.shape == (96, 320, 3) and image.dtype == np.uint8
    assert image[..., 2].mean() > image[..., 0].mean() + 50
