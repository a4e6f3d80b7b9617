from __future__ import annotations

import re

import numpy as np
import pytest

from lass3d_core.labels import AbsentClasses, LabelSpace
from lass3d_core.paper.metrics import mean_iou
from train.evaluate import Metrics, figures_of
from train.report.render import render
from train.report.results import (
    LEAST_POINTS,
    Mistake,
    ResultLine,
    RunResult,
    class_lines,
    confusion_map,
    few_points,
    mean_lines,
    mistakes,
    shares_of_truth,
    shown_results,
)

_SPACE = LabelSpace(
    ("ground", "wall", "lamp", "moon"),
    {1: 0, 2: 1, 3: 2, 4: 3},
    (1, 2, 3, 4),
    tuple((i, i, i) for i in range(4)),
)
_TWO = LabelSpace(("ground", "<i>wall</i>"), {1: 0, 2: 1}, (1, 2), ((0, 0, 0), (1, 1, 1)))
_MATRIX = np.array([[6, 2, 0, 0], [0, 4, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])


def _words(
    *found: RunResult,
    split: str = "test",
    split_scans: int | None = None,
    absent: AbsentClasses = "zero",
    space: LabelSpace = _TWO,
) -> str:
    """What the page says of these runs, the first its own."""
    metrics = Metrics(
        run_digest="run",
        split=split,
        class_names=space.names,
        scans=2,
        protocol="nested",
        ratio=20.0,
        seed=0,
        labelled_scans=2,
        training_scans=10,
        steps=300,
        split_scans=split_scans,
        **figures_of(found[0].matrix, absent),
    )
    results = shown_results(metrics, None, found, space)
    return " ".join(render("results.html", results=results).split())


def _result(name: str, right: int) -> RunResult:
    """One of two classes is predicted right `right` times of 100, the other always."""
    return RunResult(name, np.array([[right, 100 - right], [0, 100]]))


def test_the_page_says_worse_if_it_is_worse_and_better_if_it_is_better() -> None:
    words = _words(_result("LASS3D", 50), _result("supervised only", 100), _result("Mean Teacher", 20))
    assert "LASS3D (58.3) is 41.7 points worse than supervised only (100.0);" in words
    assert "points better than Mean Teacher" in words
    assert "within the noise" not in words


def test_a_small_difference_is_called_noise() -> None:
    words = _words(_result("LASS3D", 60), _result("supervised only", 61), split="val")
    assert "within the noise" in words and "On the validation scans" in words


def test_a_run_alone_is_compared_with_none_and_says_its_protocol() -> None:
    words = _words(_result("LASS3D", 60))
    assert "points better" not in words and "points worse" not in words
    assert "all 200 labelled points of 2 scans; point level, last checkpoint after 300 steps" in words
    assert "2 of 10 training scans had labels (nested choice, 20 %, seed 0)" in words


def test_names_of_classes_and_runs_are_escaped() -> None:
    words = _words(_result("<b>LASS3D</b>", 60), _result("<b>other</b>", 10))
    assert "<i>" not in words and "<b>LASS3D" not in words and "<b>other" not in words
    assert "&lt;i&gt;wall&lt;/i&gt;" in words


def test_iou_and_both_means_by_hand() -> None:
    own = [RunResult("own", _MATRIX)]
    lines = class_lines(own, _SPACE)
    assert [(line.name, line.points, line.share, line.predicted) for line in lines] == [
        ("ground", 8, "57.1 %", 7),
        ("wall", 4, "28.6 %", 7),
        ("lamp", 2, "14.3 %", 0),
    ]
    assert [line.values for line in lines] == [(6 / 9,), (4 / 7,), (0.0,)]
    zero, dropped, right = (line.values[0] for line in mean_lines(own, "zero"))
    assert dropped == pytest.approx((6 / 9 + 4 / 7) / 3)
    assert zero == pytest.approx((6 / 9 + 4 / 7) / 4)
    assert right == 10 / 14


@pytest.mark.parametrize(
    ("absent", "official", "other"),
    [("zero", "absent classes count 0", "absent classes dropped"),
     ("dropped", "absent classes dropped", "absent classes count 0")],
)  # fmt: skip
def test_the_official_mean_comes_first(absent: AbsentClasses, official: str, other: str) -> None:
    own = RunResult("own", _MATRIX, absent)
    first, second, _ = mean_lines([own], absent)
    assert (first.name, second.name) == (f"mean, {official} (official)", f"mean, {other}")
    assert first.values == (own.mean,) == (mean_iou(_MATRIX, absent),)


@pytest.mark.parametrize(
    ("absent", "leads", "beside"),
    [
        ("zero", "31.0 per cent by the official rule of the data: with 1 class neither true nor predicted as "
         "0",
         "mean IoU, absent classes dropped 41.3 per cent, over the 3 classes that are true or predicted"),
        ("dropped", "41.3 per cent by the official rule of the data: over the 3 classes that are true or "
         "predicted", "mean IoU, absent classes as 0 31.0 per cent, with 1 class neither true nor predicted"),
    ],
)  # fmt: skip
def test_the_headline_is_the_official_mean_and_the_other_stands_beside_it(
    absent: AbsentClasses, leads: str, beside: str
) -> None:
    page = _words(RunResult("own", _MATRIX, absent), absent=absent, space=_SPACE)
    words = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert f"mean IoU, test {leads}" in words
    assert beside in words and words.index(leads) < words.index(beside)


def test_where_every_class_occurs_there_is_one_mean() -> None:
    words = _words(_result("LASS3D", 60))
    assert "over all 2 classes" in words and "official rule of the data" not in words


def test_scans_without_labels_are_counted_beside_the_figure() -> None:
    assert "points of 2 scans (2 of 5 scans of validation have labels);" in _words(
        _result("LASS3D", 60), split="val", split_scans=5
    )
    assert "of 2 scans;" in _words(_result("LASS3D", 60), split_scans=2)


def test_a_class_that_only_another_run_predicts_has_a_line() -> None:
    other = _MATRIX.copy()
    other[0, 3] = 1
    moon = class_lines([RunResult("own", _MATRIX), RunResult("b", other)], _SPACE)[3]
    assert moon.name == "moon" and np.isnan(moon.values[0]) and moon.values[1] == 0.0


@pytest.mark.parametrize(
    ("values", "best"), [((0.5, 0.7), 1), ((0.7, 0.7), None), ((float("nan"), 0.1), 1), ((0.5,), None)]
)
def test_the_best_run_is_the_one_that_is_better_than_all_others(
    values: tuple[float, ...], best: int | None
) -> None:
    assert ResultLine("wall", values).best == best


def test_rows_of_the_confusion_are_shares_of_the_truth() -> None:
    shares = shares_of_truth(_MATRIX)
    np.testing.assert_allclose(shares[0], [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(shares[3], 0)


def test_the_confusion_map_leaves_absent_classes_out() -> None:
    drawn = confusion_map(_MATRIX, _SPACE)
    assert drawn["names"] == ["ground", "wall", "lamp"]
    assert drawn["points"] == [8, 4, 2]
    assert drawn["cells"] == [
        [(0.75, 6), (0.25, 2), (0.0, 0)],
        [(0.0, 0), (1.0, 4), (0.0, 0)],
        [(0.5, 1), (0.5, 1), (0.0, 0)],
    ]


def test_a_class_that_is_predicted_alone_has_a_row_without_points() -> None:
    drawn = confusion_map(np.array([[3, 0, 1], [0, 0, 0], [0, 0, 0]]), _SPACE)
    assert drawn["names"] == ["ground", "lamp"] and drawn["points"] == [4, 0]
    assert drawn["cells"][1] == [(0.0, 0), (0.0, 0)]


def test_the_largest_mistakes_come_first() -> None:
    assert mistakes(100 * _MATRIX, _SPACE) == [
        Mistake("lamp", "ground", 100, 200),
        Mistake("lamp", "wall", 100, 200),
        Mistake("ground", "wall", 200, 800),
    ]


@pytest.mark.parametrize(("points", "listed"), [(1, False), (LEAST_POINTS - 1, False), (LEAST_POINTS, True)])
def test_a_class_of_few_points_is_no_headline_and_is_named_as_left_out(points: int, listed: bool) -> None:
    matrix = 100 * _MATRIX
    matrix[3] = [0, points, 0, 0]
    worst = mistakes(matrix, _SPACE)[0]
    assert (worst == Mistake("moon", "wall", points, points)) is listed
    assert few_points(matrix, _SPACE) == ([] if listed else [("moon", points)])
    words = _words(RunResult("own", matrix), space=_SPACE)
    assert (f"moon ({points})" in words) is not listed
    # The mean counts it all the same.
    assert mean_iou(matrix) == pytest.approx((6 / 9 + 400 / (700 + points) + 0 + 0) / 4)


def test_mistakes_say_their_counts() -> None:
    words = _words(RunResult("own", 100 * _MATRIX), space=_SPACE)
    assert 'of lamp is taken for ground <span class="quiet">100 of 200 points</span>' in words
