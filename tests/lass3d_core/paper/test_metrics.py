from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.paper.metrics import accuracy, confusion_matrix, iou, mean_iou

few = settings(max_examples=50, deadline=None)
pairs = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 255]), st.integers(0, 3)), max_size=40)


def split(points: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(points, dtype=np.uint8).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def test_rows_are_truth_and_columns_prediction() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), 2)
    assert matrix.tolist() == [[1, 1], [0, 1]]


@few
@given(pairs)
def test_matrix_counts_point_by_point(points: list[tuple[int, int]]) -> None:
    expected = [[sum(p == (t, c) for p in points) for c in range(4)] for t in range(4)]
    assert confusion_matrix(*split(points), 4).tolist() == expected


@few
@given(pairs)
def test_iou_is_set_intersection_over_union(points: list[tuple[int, int]]) -> None:
    counted = [(index, *pair) for index, pair in enumerate(points) if pair[0] != 255]
    for c, value in enumerate(iou(confusion_matrix(*split(points), 4)).tolist()):
        truth = {index for index, t, _ in counted if t == c}
        predicted = {index for index, _, p in counted if p == c}
        if truth | predicted:
            assert value == pytest.approx(len(truth & predicted) / len(truth | predicted))
        else:
            assert math.isnan(value)


@few
@given(pairs)
def test_zero_convention_is_the_official_formula(points: list[tuple[int, int]]) -> None:
    """semantic-kitti-api: prediction in the rows, ignored truths dropped, a tiny number in the union."""
    official = np.zeros((4, 4))
    for truth, prediction in points:
        if truth != 255:
            official[prediction, truth] += 1
    tp = np.diag(official)
    fp, fn = official.sum(axis=1) - tp, official.sum(axis=0) - tp
    expected = (tp / (tp + fp + fn + 1e-15)).mean()
    assert mean_iou(confusion_matrix(*split(points), 4)) == pytest.approx(expected)


def test_matrices_of_scans_add_up() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, (2, 100))
    whole = confusion_matrix(truth, prediction, 5)
    parts = confusion_matrix(truth[:30], prediction[:30], 5) + confusion_matrix(
        truth[30:], prediction[30:], 5
    )
    assert np.array_equal(whole, parts)


def test_absent_class_is_dropped_or_counted_as_zero() -> None:
    matrix = np.array([[4, 0, 0], [0, 2, 0], [0, 0, 0]])
    assert mean_iou(matrix, "dropped") == 1
    assert mean_iou(matrix, "zero") == pytest.approx(2 / 3)


def test_class_that_is_only_predicted_counts_as_zero_either_way() -> None:
    matrix = np.array([[3, 1], [0, 0]])
    assert mean_iou(matrix, "dropped") == mean_iou(matrix, "zero") == pytest.approx(3 / 8)


def test_accuracy_is_the_share_of_right_points() -> None:
    assert accuracy(np.array([[3, 1], [2, 4]])) == pytest.approx(0.7)


def test_nothing_counted_has_no_accuracy_and_no_mean_over_present_classes() -> None:
    empty = confusion_matrix(np.array([255]), np.array([0]), 2)
    assert math.isnan(accuracy(empty)) and math.isnan(mean_iou(empty, "dropped")) and mean_iou(empty) == 0


def test_prediction_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction must lie in \[0, 2\), got \[0, 7\]"):
        confusion_matrix(np.array([0, 1]), np.array([0, 7]), 2)
