from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE
from lass3d_core.files.splits import spread
from lass3d_core.geometry.projection import invert_rigid, project
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import Camera, View
from preprocess.audit.calibration import (
    NUDGES,
    Alignment,
    Nudge,
    Observation,
    compare,
    edge_strength,
    observe,
)
from preprocess.audit.calibration_check import camera_of, observed_in
from preprocess.audit.outlines import depth_outline
from preprocess.audit.verdict import LEAST_POINTS, Verdict, described, verdict_of

CAMERA = Camera(np.array([[400.0, 0, 320], [0, 400.0, 240], [0, 0, 1]]), np.eye(4), (480, 640))
TOLD = tuple(
    Nudge(kind, axis, sign * amount)
    for kind, axes, amount in (("turn", "xyz", 1.0), ("shift", "xy", 0.1))
    for axis in axes
    for sign in (1, -1)
)
"""What the check must tell: 1 degree about each axis, 10 cm across the view."""


def plates() -> tuple[np.ndarray, np.ndarray]:
    """Points (N,3) float32 of six plates, near and far, before a wall, and their exact image (480,640,3)."""
    v, u = np.mgrid[0:480, 0:640]
    depth, image = np.full((480, 640), 12.0), np.full((480, 640, 3), 90, np.uint8)
    for row in range(2):
        for column in range(3):
            near = (abs(u - (110 + 210 * column)) < 60) & (abs(v - (120 + 240 * row)) < 70)
            depth[near] = 3.0 if (row + column) % 2 else 8.0
            image[near] = 180, 60 + 40 * column, 30 + 90 * row
    v, u = np.mgrid[1:480:3, 1:640:3]
    rays = np.stack([u + 0.5, v + 0.5, np.ones_like(u)], axis=-1) @ np.linalg.inv(CAMERA.K).T
    return (rays * depth[v, u, None]).reshape(-1, 3).astype(np.float32), image


def aligned(camera: Camera, nudges: Sequence[Nudge] = TOLD) -> Alignment:
    points, image = plates()
    noisy = np.random.default_rng(0).normal(image, 6).clip(0, 255).astype(np.uint8)
    return compare([observe(camera, noisy, points, depth_outline(camera, points), nudges)], nudges)


def test_an_edge_is_strong_where_the_colour_changes_and_nowhere_else() -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    image[:, 30:, 2] = 140  # in one channel alone
    strength = edge_strength(image, 400.0)
    assert strength.shape == (40, 60) and strength.dtype == np.float32
    assert strength[:, 29:31].min() > 0.9
    assert strength[:, :26].max() < 1e-6 and strength[:, 34:].max() < 1e-6
    assert (edge_strength(np.full((9, 9, 3), 70, np.uint8), 400.0) == 0).all()


def test_a_faint_edge_on_a_smooth_surface_counts_like_a_bright_one() -> None:
    bright, faint = np.zeros((40, 200, 3), np.uint8), np.zeros((40, 200, 3), np.uint8)
    bright[:, 100:], faint[:, 100:] = 255, 40
    difference = edge_strength(bright, 400.0)[:, 99:101] - edge_strength(faint, 400.0)[:, 99:101]
    assert abs(difference).max() < 0.1


def test_edges_on_the_outline_are_counted_relative_to_all_points() -> None:
    image = np.full((40, 40, 3), 50, np.uint8)
    image[:, 20:] = 200
    camera = Camera(np.array([[20.0, 0, 20], [0, 20.0, 20], [0, 0, 1]]), np.eye(4), (40, 40))
    u = np.array([2, 10, 20, 30], float)  # one of four points is on the edge
    points = np.column_stack([(u + 0.5 - 20) / 20 * 4, np.zeros(4), np.full(4, 4)]).astype(np.float32)
    strength = edge_strength(image, 20.0)[20, u.astype(int)]
    outline = depth_outline(camera, points)._replace(points=points[2:3], weights=np.ones(1, np.float32))
    found = observe(camera, image, points, outline, (Nudge("shift", "x", 100.0),))
    assert found.edges[0, 0] == pytest.approx(strength[2] / strength.mean())
    assert np.isnan(found.edges[1, 0])  # shifted out of the image


def test_the_score_is_the_weighted_mean_and_its_lead_in_standard_errors() -> None:
    edges = np.array([[2, 1], [1, 1], [np.nan, 4]], np.float32)
    nudges = (Nudge("turn", "x", 1.0), Nudge("turn", "y", 1.0))
    found = compare([Observation(np.array([1, 3], np.float32), edges)], nudges)
    assert (found.images, found.points) == (1, 2)
    assert found.given.score == pytest.approx((1 * 2 + 3 * 1) / 4)
    assert [found.nudged[nudge].score for nudge in nudges] == pytest.approx([1.0, 4.0])
    # differences -1 and 0, mean -1/4, its error sqrt(1 (3/4)^2 + 9 (1/4)^2) / 4
    assert found.nudged[nudges[0]].sure == pytest.approx(-1 / np.sqrt(0.75**2 + 9 * 0.25**2))
    # over chance: differences 1 and 0, mean 1/4
    assert found.given.sure == pytest.approx(1 / np.sqrt(0.75**2 + 9 * 0.25**2))
    assert found.best == nudges[1]


def test_images_are_pooled_by_their_points() -> None:
    one = Observation(np.ones(3, np.float32), np.full((2, 3), 2, np.float32))
    other = Observation(np.ones(1, np.float32), np.full((2, 1), 6, np.float32))
    found = compare([one, other], (Nudge("turn", "x", 1.0),))
    assert (found.images, found.points, found.given.score) == (2, 4, 3.0)


def test_a_nudge_moves_the_points_in_the_cameras_frame() -> None:
    point = np.array([[0, 0, 10]], np.float32)
    moved = {
        (kind, axis): project(Nudge(kind, axis, amount).of(CAMERA), point)[0][0] - (320, 240)
        for kind, axis, amount in (
            ("shift", "x", 0.1),
            ("shift", "y", 0.1),
            ("turn", "x", -1.0),
            ("turn", "y", 1.0),
        )
    }
    assert moved["shift", "x"] == pytest.approx((4, 0), abs=1e-3)
    assert moved["shift", "y"] == pytest.approx((0, 4), abs=1e-3)
    assert moved["turn", "x"] == pytest.approx((0, 400 * np.tan(np.radians(1))), abs=1e-3)
    assert moved["turn", "y"] == pytest.approx((400 * np.tan(np.radians(1)), 0), abs=1e-3)


def test_the_true_calibration_scores_highest_and_raises_no_doubt() -> None:
    found = aligned(CAMERA, NUDGES)
    assert all(fit.score < found.given.score for fit in found.nudged.values())
    assert found.points > LEAST_POINTS and verdict_of(found).reading == "fits"
    assert "nothing tried is surely better" in described(found)


@pytest.mark.parametrize("nudge", TOLD, ids=str)
def test_a_wrong_calibration_is_doubted_and_the_way_back_named(nudge: Nudge) -> None:
    found = aligned(nudge.of(CAMERA), NUDGES)
    back = Nudge(nudge.kind, nudge.axis, -nudge.amount)
    assert found.best == back
    assert f"WARNING: {back} " in described(found)


def test_a_scan_of_another_place_fits_no_better_than_chance() -> None:
    points, _ = plates()
    image = np.random.default_rng(1).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    found = compare([observe(CAMERA, image, points, depth_outline(CAMERA, points))])
    assert verdict_of(found).reading == "chance" and verdict_of(found).warns
    assert "no better than chance" in described(found)


def test_too_few_outlines_tell_nothing() -> None:
    edges = np.ones((1 + len(NUDGES), LEAST_POINTS - 1), np.float32)
    edges[1] = 9
    found = compare([Observation(np.ones(LEAST_POINTS - 1, np.float32), edges)])
    assert not verdict_of(found).warns and "cannot tell: too few outline points" in described(found)


def test_a_scan_outside_the_image_has_no_score() -> None:
    points, image = plates()
    found = compare([observe(CAMERA, image, -points, depth_outline(CAMERA, -points))])
    assert found.points == 0 and found.given.score == 0 and not verdict_of(found).warns


def test_words_of_a_nudge() -> None:
    assert str(Nudge("turn", "y", 1.0)) == "a turn by +1 degrees about the camera's vertical axis (y)"
    assert str(Nudge("shift", "x", -0.1)) == "a shift by -10 cm along the camera's horizontal axis (x)"


def test_few_of_many_are_spread_from_the_first_to_the_last() -> None:
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread("ab", 4) == ["a", "b"]


def test_numbered_frames_are_one_camera(finished_street: Any) -> None:
    (view,) = finished_street.project.dataset.views("00/000000")
    assert camera_of(view, "00/000000") == "image_2"
    assert (
        camera_of(view.__class__("scene0000_00/000020", view.image, view.camera), "scene0000_00") == "frames"
    )


def test_on_the_simulated_street_the_true_calibration_scores_highest(finished_street: Any) -> None:
    dataset = finished_street.project.dataset
    scans = [
        dataset.read_scan(scan_id)
        for split in ("train", "val", "test")
        for scan_id in dataset.scan_ids(split)
    ]
    found = compare([observed_in(scan.views[0], scan.points, PairsSpec(), TOLD) for scan in scans], TOLD)
    assert found.given.score > 1.1
    assert [str(nudge) for nudge, fit in found.nudged.items() if fit.score >= found.given.score] == []


def street_scans(street: Any) -> list[Any]:
    dataset = street.project.dataset
    return [dataset.read_scan(one) for split in ("train", "val", "test") for one in dataset.scan_ids(split)]


def read_of(scans: Sequence[Any], views: Sequence[View]) -> Verdict:
    """The verdict on the scans' points with other views."""
    return verdict_of(
        compare([observed_in(view, scan.points, PairsSpec()) for view, scan in zip(views, scans)])
    )


@pytest.mark.parametrize("start", range(6))
def test_four_images_of_the_simulated_street_raise_no_false_alarm(finished_street: Any, start: int) -> None:
    scans = street_scans(finished_street)[start : start + 4]
    assert not read_of(scans, [scan.views[0] for scan in scans]).warns


@pytest.mark.parametrize(
    "wrong",
    [
        *(Nudge("turn", "y", sign * 3.0).of for sign in (1, -1)),
        Nudge("turn", "x", 5.0).of,
        *(Nudge("shift", "x", sign * 0.54).of for sign in (1, -1)),
        lambda camera: replace(camera, cam_from_points=invert_rigid(camera.cam_from_points)),
    ],
)
def test_a_wrong_calibration_of_the_simulated_street_does_not_pass_as_fine(
    finished_street: Any, wrong: Callable[[Camera], Camera]
) -> None:
    scans = street_scans(finished_street)
    views = [replace(scan.views[0], camera=wrong(scan.views[0].camera)) for scan in scans]
    assert read_of(scans, views).reading not in ("fits", "cannot tell")


def test_images_of_other_scans_do_not_pass_as_fine(finished_street: Any) -> None:
    scans = street_scans(finished_street)
    views = [replace(scan.views[0], image=other.views[0].image) for scan, other in pairwise(scans)]
    assert read_of(scans, views).warns


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """benchmarks/calibration.py, which reads the real frames."""
    path = Path(__file__).parents[3] / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_calibration", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frames(bench: ModuleType, samples: Path) -> dict[str, list[Any]]:
    bench.SAMPLES = samples
    return dict(bench.real_frames())


@pytest.mark.samples
@pytest.mark.parametrize("name", ["PandaSet 00", "PandaSet 01", "KITTI", "nuScenes"])
def test_on_real_frames_one_degree_and_ten_centimetres_are_told(
    bench: ModuleType, frames: dict[str, list[Any]], name: str
) -> None:
    found = bench.scored(frames[name])
    told = [str(nudge) for nudge, fit in found.nudged.items() if fit.score >= found.given.score]
    assert [one for one in told if "shift" not in one or "(z)" not in one] == []
    assert found.given.score > 1.2 and not verdict_of(found).warns


@pytest.mark.samples
@pytest.mark.parametrize("name", ["car", "building", "vegetation"])
def test_real_labels_end_on_edges_more_often_than_under_any_nudged_calibration(
    bench: ModuleType, frames: dict[str, list[Any]], name: str
) -> None:
    (poses,) = (poses for group, poses in bench.labelled({"street": [], **frames}) if group == "PandaSet")
    found = bench.witness(poses, LABEL_SPACE.names.index(name))
    assert found.given.score > 1.2
    assert all(found.nudged[nudge].score < found.given.score for nudge in TOLD)


DRIVES = ("drive 00", "drive 02", "drive 04", "drive 05", "drive 07", "drive 08", "drive 10")
SETS = (*DRIVES, "PandaSet 00", "PandaSet 01", "nuScenes", "KITTI")


@pytest.mark.samples
@pytest.mark.parametrize("name", SETS)
def test_right_calibrations_of_real_frames_raise_no_warning(
    bench: ModuleType, frames: dict[str, list[Any]], name: str
) -> None:
    assert not verdict_of(bench.audited(frames[name])).warns


@pytest.mark.samples
@pytest.mark.parametrize("kind", ["shift 0.54", "inverted"])
@pytest.mark.parametrize("name", SETS[:-2])
def test_another_camera_and_an_inverted_transform_are_warned_of_on_real_frames(
    bench: ModuleType, frames: dict[str, list[Any]], name: str, kind: str
) -> None:
    for _, poses in bench.wrong_poses(frames[name], kind):
        assert verdict_of(bench.audited(poses)).warns


@pytest.mark.samples
@pytest.mark.parametrize("name", SETS[:-2])
@pytest.mark.parametrize("degrees", [3.0, -3.0])
def test_a_yaw_of_three_degrees_is_warned_of_on_real_frames(
    bench: ModuleType, frames: dict[str, list[Any]], name: str, degrees: float
) -> None:
    yaw = Nudge("turn", "y", degrees)
    poses = [bench.moved(pose, yaw.of(pose.view.camera)) for pose in frames[name]]
    found = verdict_of(bench.audited(poses))
    assert found.warns and str(Nudge("turn", "y", -degrees)) in found.words
