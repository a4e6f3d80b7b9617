from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.model.predict import Prediction
from lass3d_core.records import Camera, FilePart, PairedScan, PointTextPairs, PointVotes, View
from lass3d_core.viewer.clouds import Likeness
from train.report.clouds import PicturedScan, cloud_viewer, photos_of

_SPACE = LabelSpace(
    ("ground", "wall", "lamp"), {1: 0, 2: 1, 3: 2}, (1, 2, 3), ((9, 9, 9), (200, 0, 0), (0, 0, 200))
)
_IMAGE = "0/0/image_2"


def _scan(count: int, labels: np.ndarray | None = None) -> PairedScan:
    pairs = PointTextPairs(
        image=np.where(np.arange(count) % 3 > 0, 0, -1).astype(np.int16)[:, None],
        entity=np.where(np.arange(count) % 3 == 2, 1, -1).astype(np.int16),
        image_ids=(_IMAGE,),
        phrases=("a", "b"),
    )
    points = np.random.default_rng(1).uniform(-5, 5, (count, 3)).astype(np.float32)
    return PairedScan("0/0", points, np.zeros((count, 1), np.float32), labels, pairs)


def _pictured(scan: PairedScan) -> PicturedScan:
    count = len(scan.points)
    labels = (np.arange(count) % 3).astype(np.uint8)
    return PicturedScan(scan, Prediction(labels, np.linspace(0, 1, count).astype(np.float32)))


def _column(pictured: PicturedScan, name: str) -> list[int]:
    text = cloud_viewer([pictured], _SPACE).clouds[0].payload[name]
    return list(zlib.decompress(base64.b64decode(text)))


def _text(pictured: PicturedScan) -> list[int]:
    """Its high bytes come first."""
    both = _column(pictured, "text")
    half = len(both) // 2
    return [256 * high + low for high, low in zip(both[:half], both[half:])]


def test_a_scan_is_shown_with_its_prediction_its_confidence_and_its_labels() -> None:
    labels = np.array([0, 1, 2, IGNORE, 1, 1, 0, 0, 0], np.uint8)
    pictured = _pictured(_scan(9, labels))
    assert _column(pictured, "truth") == labels.tolist()
    assert _column(pictured, "prediction") == [0, 1, 2] * 3
    assert _column(pictured, "confidence") == [0, 32, 64, 96, 128, 159, 191, 223, 255]
    viewer = cloud_viewer([pictured], _SPACE)
    assert [mode.name for mode in viewer.modes] == ["prediction", "truth", "error", "confidence", "words"]
    assert viewer.clouds[0].name == "0/0" and viewer.clouds[0].right == 5 / 8


def test_each_point_has_a_phrase_a_caption_or_neither() -> None:
    assert _text(_pictured(_scan(9))) == [0, 1, 3] * 3


def test_an_entity_is_shown_without_an_image_of_its_own() -> None:
    """A vote gives them, by images of other scans."""
    scan = _scan(3)
    voted = replace(scan.pairs, entity=np.array([0, 1, -1], np.int16))
    assert _text(_pictured(replace(scan, pairs=voted))) == [2, 3, 1]


def test_how_many_views_voted_is_shown_if_they_did() -> None:
    scan = _scan(3)
    votes = PointVotes(
        phrase=np.array([[-1, -1], [-1, -1], [1, 0]], np.int16),
        share=np.array([[0, 0], [0, 0], [200, 55]], np.uint8),
        score=np.array([0, 0, 180], np.uint8),
        views=np.array([0, 0, 7], np.uint8),
    )
    pictured = _pictured(replace(scan, pairs=replace(scan.pairs, votes=votes)))
    assert _column(pictured, "views") == [0, 0, 7] and _column(pictured, "share") == [0, 0, 200]
    assert "views" not in cloud_viewer([_pictured(scan)], _SPACE).clouds[0].payload


def test_a_scan_without_labels_is_shown_without_truth() -> None:
    viewer = cloud_viewer([_pictured(_scan(6))], _SPACE)
    assert viewer.clouds[0].right is None and "truth" not in viewer.clouds[0].payload


def test_a_query_shows_its_likeness_first() -> None:
    likeness = Likeness(np.array([0, 90, 255, 3], np.uint8), 0.1, 0.8)
    pictured = replace(_pictured(_scan(4)), likeness=likeness)
    viewer = cloud_viewer([pictured], _SPACE)
    assert viewer.modes[0].name == "likeness" and viewer.clouds[0].payload["similarity"] == [0.1, 0.8]
    assert _column(pictured, "likeness") == [0, 90, 255, 3]


class OneCamera:
    """A data set of one scan; the pairs know the first of its images."""

    def __init__(
        self, folder: Path, problem: str = "", names: Sequence[str] = ("image_2", "image_3")
    ) -> None:
        self.folder, self.problem, self.names = folder, problem, names

    def views(self, scan_id: str) -> tuple[View, ...]:
        if self.problem:
            raise DataError(self.problem)
        eye = Camera(np.diag([20.0, 20, 1]), np.eye(4), (24, 32))
        files = (FilePart(self.folder / f"{name}.png") for name in self.names)
        return tuple(View(f"{scan_id}/{part.path.stem}", part, eye) for part in files)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("image_2", "image_3"):
        Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_the_images_that_the_pairs_know_stand_beside_the_scan(pictures: Path) -> None:
    scan = _scan(9)
    (photo,) = photos_of(scan, OneCamera(pictures))
    assert photo.name == "image_2" and photo.image.shape == (24, 32, 3)
    assert photo.seen.tolist() == [False, True, True] * 3
    pictured = replace(_pictured(scan), photos=(photo,))
    assert cloud_viewer([pictured], _SPACE).has_photos and _column(pictured, "seen") == [0, 1, 1] * 3


def test_of_many_images_those_that_show_most_points_are_read(pictures: Path) -> None:
    names = [f"image_{number}" for number in range(10)]
    for name in names:
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(pictures / f"{name}.png")
    image = np.full((40, 10), -1, np.int16)
    for slot in range(10):  # image 0 shows 9 points, image 9 none
        image[: 9 - slot, slot] = slot
    pairs = PointTextPairs(image, np.full(40, -1, np.int16), tuple(f"0/0/{name}" for name in names), ())
    found = photos_of(replace(_scan(40), pairs=pairs), OneCamera(pictures, names=names[::-1]))
    assert [photo.name for photo in found] == [f"image_{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert [int(photo.seen.sum()) for photo in found] == [4, 5, 6, 7, 8, 9]


def test_images_that_are_gone_are_left_out(tmp_path: Path) -> None:
    scan = _scan(9)
    assert photos_of(scan, OneCamera(tmp_path / "moved")) == ()
    assert photos_of(scan, OneCamera(tmp_path, "the calibration is missing")) == ()
    assert photos_of(scan, None) == () and not cloud_viewer([_pictured(scan)], _SPACE).has_photos
