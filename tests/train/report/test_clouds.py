from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.records import PairedScan, PointTextPairs
from train.report.clouds import LIKENESS, TRUTH, PicturedScan, cloud_viewer, quantise
from train.report.render import render

_SPACE = LabelSpace(
    ("ground", "<b>wall</b>", "lamp"), {1: 0, 2: 1, 3: 2}, (1, 2, 3), ((9, 9, 9), (200, 0, 0), (0, 0, 200))
)


def _scan(points: np.ndarray, labels: np.ndarray | None, phrases: tuple[str, ...] = ("a", "b")) -> PairedScan:
    count = len(points)
    pairs = PointTextPairs(
        image=np.where(np.arange(count) % 3 > 0, 0, -1).astype(np.int16)[:, None],
        entity=np.where(np.arange(count) % 3 == 2, 1, -1).astype(np.int16),
        image_ids=("0/0/image",),
        phrases=phrases,
    )
    return PairedScan("0/0", points.astype(np.float32), np.zeros((count, 1), np.float32), labels, pairs)


def _decoded(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 99), size=st.floats(0.1, 1e3), shift=st.floats(-1e3, 1e3), count=st.integers(1, 50)
)
def test_quantised_points_come_back_within_half_a_step(
    seed: int, size: float, shift: float, count: int
) -> None:
    points = (shift + size * np.random.default_rng(seed).random((count, 3))).astype(np.float32)
    levels, origin, step = quantise(points)
    assert np.abs(origin + step * levels.astype(float) - points).max() <= 0.5 * step + 1e-9


def test_a_hundred_metres_are_kept_to_a_millimetre() -> None:
    points = np.random.default_rng(0).uniform(-50, 50, (1000, 3)).astype(np.float32)
    levels, origin, step = quantise(points)
    assert np.abs(origin + step * levels.astype(float) - points).max() < 1e-3


def test_what_the_page_holds_decodes_to_the_scan() -> None:
    points = np.random.default_rng(1).uniform(-5, 5, (9, 3))
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, IGNORE], np.uint8)
    prediction = np.roll(labels % 3, 1).astype(np.uint8)
    payload = cloud_viewer([PicturedScan(_scan(points, labels), prediction)], _SPACE).scans[0].payload
    levels = _decoded(payload["xyz"], "<u2").reshape(-1, 3)
    back = np.array(payload["origin"]) + payload["step"] * levels
    assert np.abs(back - points).max() <= payload["step"]
    assert _decoded(payload["prediction"], "u1").tolist() == prediction.tolist()
    assert _decoded(payload["truth"], "u1").tolist() == labels.tolist()
    assert _decoded(payload["text"], "<u2").tolist() == [0, 1, 3] * 3


def test_an_entity_is_shown_without_an_image_of_its_own() -> None:
    """A vote gives them, by images of other scans."""
    scan = _scan(np.zeros((3, 3)), None)
    voted = replace(scan.pairs, entity=np.array([0, 1, -1], np.int16))
    pictured = PicturedScan(replace(scan, pairs=voted), np.zeros(3, np.uint8))
    payload = cloud_viewer([pictured], _SPACE).scans[0].payload
    assert scan.pairs.image[0, 0] == -1 and _decoded(payload["text"], "<u2").tolist() == [2, 3, 1]


def test_a_scan_without_labels_is_shown_without_truth() -> None:
    scan = _scan(np.zeros((6, 3)), None)
    viewer = cloud_viewer([PicturedScan(scan, np.zeros(6, np.uint8))], _SPACE)
    assert set(_decoded(viewer.scans[0].payload["truth"], "u1")) == {IGNORE}
    assert "no truth" in render("viewer.html", viewer=viewer)


def test_a_large_scan_is_thinned_and_the_page_says_so() -> None:
    count = 50_000
    points = np.random.default_rng(2).uniform(-50, 50, (count, 3))
    labels = np.zeros(count, np.uint8)
    viewer = cloud_viewer([PicturedScan(_scan(points, labels), labels)], _SPACE)
    assert len(_decoded(viewer.scans[0].payload["prediction"], "u1")) == 40_000
    assert viewer == cloud_viewer([PicturedScan(_scan(points, labels), labels)], _SPACE)
    drawn = render("viewer.html", viewer=viewer)
    assert "40\u202f000 shown" in drawn
    assert len(drawn) < 1e6


def test_phrases_and_class_names_are_escaped() -> None:
    hostile = "</script><script>alert(1)</script>"
    scan = _scan(np.zeros((3, 3)), np.array([1, 1, 1], np.uint8), ("a", hostile))
    viewer = cloud_viewer([PicturedScan(scan, np.ones(3, np.uint8))], _SPACE)
    drawn = render("viewer.html", viewer=viewer)
    assert hostile not in drawn
    assert "<b>wall" not in drawn


def test_the_legend_names_the_classes_that_occur_and_no_other() -> None:
    scan = _scan(np.zeros((3, 3)), np.array([0, 0, IGNORE], np.uint8))
    viewer = cloud_viewer([PicturedScan(scan, np.zeros(3, np.uint8))], _SPACE)
    assert viewer.legend == [(0, "ground", "rgb(9 9 9)")]


@pytest.mark.parametrize(("truth", "expected"), [([0, 1, 255, 1], 2 / 3), ([255] * 4, None), (None, None)])
def test_the_share_of_right_points_is_taken_over_the_labelled_points(
    truth: list[int] | None, expected: float | None
) -> None:
    scan = _scan(np.zeros((4, 3)), None if truth is None else np.array(truth, np.uint8))
    viewer = cloud_viewer([PicturedScan(scan, np.array([0, 1, 1, 2], np.uint8))], _SPACE)
    assert viewer.scans[0].right == expected


def test_all_points_in_one_place_are_no_fault() -> None:
    scan = _scan(np.full((4, 3), 7.0), np.zeros(4, np.uint8))
    payload = cloud_viewer([PicturedScan(scan, np.zeros(4, np.uint8))], _SPACE).scans[0].payload
    assert payload["origin"] == (7.0, 7.0, 7.0) and payload["step"] > 0


def test_a_query_shows_its_likeness_beside_the_truth() -> None:
    scan = _scan(np.random.default_rng(2).uniform(-5, 5, (4, 3)), np.array([0, 1, 2, 255], np.uint8))
    likeness = np.array([0, 90, 255, 3], np.uint8)
    pictured = PicturedScan(scan, np.zeros(4, np.uint8), likeness)
    viewer = cloud_viewer([pictured], _SPACE, (LIKENESS, TRUTH))
    assert _decoded(viewer.scans[0].payload["likeness"], "u1").tolist() == likeness.tolist()
    usual = cloud_viewer([PicturedScan(scan, np.zeros(4, np.uint8))], _SPACE)
    assert "likeness" not in usual.scans[0].payload
