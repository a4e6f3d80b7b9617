"""Records are checked where they are made: shape, dtype, finiteness and range, each named in the error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.records import (
    Camera,
    PairedScan,
    PointTextPairs,
    PointVotes,
    Scan,
    TextRows,
    labels_or_ignore,
)

K = np.array([[100.0, 0, 30], [0, 100, 20], [0, 0, 1]])
POINTS, REMISSION = np.zeros((3, 3), np.float32), np.zeros((3, 1), np.float32)
NO_TEXT = PointTextPairs(np.full((3, 1), -1, np.int16), np.full(3, -1, np.int16), (), ())


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ((K[:2], np.eye(4), (40, 60)), r"Camera\.K must be float64 \(3, 3\), got float64 \(2, 3\)"),
        ((K.astype(np.float32), np.eye(4), (40, 60)), r"Camera\.K must be float64 .*, got float32"),
        ((K, np.full((4, 4), np.nan), (40, 60)), r"cam_from_points holds 16 non-finite values"),
        ((K, np.eye(4), (0, 60)), "size_hw must be positive"),
        ((-K, np.eye(4), (40, 60)), "must be positive"),
    ],
)
def test_a_wrong_camera_is_refused(values: tuple[Any, ...], pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        Camera(*values)


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"points": POINTS[:, :2]}, r"scan 00/000000: points must be float32 \(3, 3\), got float32 \(3, 2\)"),
        ({"points": POINTS.astype(np.float64)}, "points must be float32 .*, got float64"),
        ({"points": POINTS * np.float32(np.nan)}, "points holds 9 non-finite values"),
        ({"features": REMISSION[:2]}, "features must be float32"),
        ({"labels": np.zeros(2, np.uint8)}, r"labels must be uint8 \(3,\), got uint8 \(2,\)"),
        ({"labels": np.zeros(3, np.int64)}, "labels must be uint8"),
    ],
)
def test_a_wrong_scan_is_refused(changes: dict[str, Any], pattern: str) -> None:
    values: dict[str, Any] = {"points": POINTS, "features": REMISSION, "labels": None}
    with pytest.raises(DataError, match=pattern):
        Scan(scan_id="00/000000", views=(), **values | changes)


def test_slots_must_point_into_their_tables() -> None:
    PointTextPairs(np.zeros((3, 1), np.int16), np.full(3, -1, np.int16), ("a",), ())
    with pytest.raises(DataError, match=r"PointTextPairs\.image must lie in \[-1, 1\), got \[1, 1\]"):
        PointTextPairs(np.ones((3, 1), np.int16), np.full(3, -1, np.int16), ("a",), ())
    with pytest.raises(DataError, match=r"PointTextPairs\.entity must lie in \[-1, 0\), got \[-2, -2\]"):
        PointTextPairs(np.zeros((3, 1), np.int16), np.full(3, -2, np.int16), ("a",), ())


def votes(phrase: list[list[int]], share: list[list[int]]) -> PointVotes:
    count = len(phrase)
    sure = np.full(count, 255, np.uint8)
    return PointVotes(np.array(phrase, np.int16), np.array(share, np.uint8), sure, np.ones(count, np.uint8))


def test_the_margin_of_a_vote_is_the_lead_of_its_strongest_phrase() -> None:
    found = votes([[0, 1], [1, -1], [-1, -1]], [[153, 51], [255, 0], [0, 0]])
    np.testing.assert_allclose(found.margin, [0.4, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(votes([[0]], [[102]]).margin, [0.4], atol=1e-6)


def test_wrong_votes_are_refused() -> None:
    with pytest.raises(DataError, match="share must be 0 where there is no phrase"):
        votes([[0, -1]], [[200, 1]])
    image = np.full((1, 1), -1, np.int16)
    of_two = votes([[1, 0]], [[200, 55]])
    PointTextPairs(image, np.int16([1]), (), ("a", "b"), of_two)
    with pytest.raises(DataError, match=r"PointVotes\.phrase must begin with PointTextPairs\.entity"):
        PointTextPairs(image, np.int16([0]), (), ("a", "b"), of_two)
    with pytest.raises(DataError, match=r"PointVotes\.phrase must lie in \[-1, 1\), got \[0, 1\]"):
        PointTextPairs(image, np.int16([0]), (), ("a",), of_two)


def test_a_paired_scan_has_as_many_of_everything() -> None:
    with pytest.raises(DataError, match="must be equally many"):
        PairedScan("00/000000", POINTS[:2], REMISSION, None, NO_TEXT)
    with pytest.raises(DataError, match="2 labels for 3 points"):
        PairedScan("00/000000", POINTS, REMISSION, np.zeros(2, np.uint8), NO_TEXT)


@pytest.mark.parametrize("offsets", [[0, 2], [1, 2, 3], [0, 3, 3], [0, 2, 4], [0, 2, 1]])
def test_every_text_owns_rows_of_its_own(offsets: list[int]) -> None:
    rows, pooled = np.zeros((3, 4), np.float32), np.zeros((2, 4), np.float32)
    TextRows(rows, np.array([0, 2, 3]), pooled)
    with pytest.raises(DataError, match=r"TextRows\.offsets must (start at 0|be int64)"):
        TextRows(rows, np.array(offsets), pooled)


def test_absent_labels_are_ignored_labels() -> None:
    assert labels_or_ignore(None, 2).tolist() == [255, 255]
    assert labels_or_ignore(np.uint8([1, 2]), 2).tolist() == [1, 2]
