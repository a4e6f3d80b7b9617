from __future__ import annotations

import math

import numpy as np

from lass3d_core.records import PairedScan, PointTextPairs
from train.report.pairing import measure_coverage


def _scan(scan_id: str, labels: list[int] | None, entity: list[int], image: list[int]) -> PairedScan:
    count = len(entity)
    pairs = PointTextPairs(
        np.array(image, np.int16)[:, None], np.array(entity, np.int16), ("i",), ("a car", "a wall")
    )
    truth = None if labels is None else np.array(labels, np.uint8)
    return PairedScan(
        scan_id, np.zeros((count, 3), np.float32), np.zeros((count, 1), np.float32), truth, pairs
    )


def test_coverage_by_hand() -> None:
    first = _scan("0", [0, 0, 1, 255, 2, 2], [0, 0, 0, 0, 1, -1], [0, 0, 0, 0, 0, -1])
    second = _scan("1", [1, 1], [0, -1], [0, 0])
    found = measure_coverage([first, second], {"0"}, 3)
    assert (found.scans, found.labelled_scans, found.points) == (2, 1, 8)
    assert (found.with_image, found.with_entity) == (7, 6)
    car, wall = found.phrases
    assert (car.phrase, car.points, car.classes.tolist()) == ("a car", 5, [2, 1, 0])
    assert (wall.phrase, wall.points, wall.classes.tolist()) == ("a wall", 1, [0, 0, 1])
    assert car.agreement == 2 / 3
    assert found.agreement == 3 / 4


def test_labels_of_scans_that_are_not_labelled_in_this_run_do_not_count() -> None:
    found = measure_coverage([_scan("0", [0, 0], [0, 0], [0, 0])], set(), 3)
    assert found.labelled_scans == 0
    assert math.isnan(found.agreement)
    assert all(math.isnan(use.agreement) for use in found.phrases)


def test_a_scan_without_labels_counts_for_coverage_alone() -> None:
    found = measure_coverage([_scan("0", None, [0, -1], [0, -1])], {"0"}, 3)
    assert (found.points, found.with_entity, found.labelled_scans) == (2, 1, 0)


def test_no_scans_give_no_points() -> None:
    found = measure_coverage([], set(), 3)
    assert (found.points, found.phrases) == (0, ())
