from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.labels import LabelSpace
from train.evaluate import Metrics, figures_of
from train.report.render import render
from train.report.results import (
    ResultLine,
    RunResult,
    class_lines,
    confusion_map,
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
_MATRIX = np.array([[6, 2, 0, 0], [0, 4, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])


def _words(*found: RunResult, split: str = "test") -> str:
    """What the page says of these runs, the first its own."""
    metrics = Metrics(
        run_digest="run",
        split=split,
        class_names=("ground", "<i>wall</i>"),
        scans=2,
        protocol="nested",
        ratio=20.0,
        seed=0,
        labelled_scans=2,
        training_scans=10,
        steps=300,
        **figures_of(found[0].matrix),
    )
    space = LabelSpace(metrics.class_names, {1: 0, 2: 1}, (1, 2), ((0, 0, 0), (1, 1, 1)))
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
    assert [(line.name, line.points) for line in lines] == [
        ("ground", "57.1 %"),
        ("wall", "28.6 %"),
        ("lamp", "14.3 %"),
    ]
    assert [line.values for line in lines] == [(6 / 9,), (4 / 7,), (0.0,)]
    dropped, zero, right = (line.values[0] for line in mean_lines(own))
    assert dropped == pytest.approx((6 / 9 + 4 / 7) / 3)
    assert zero == pytest.approx((6 / 9 + 4 / 7) / 4)
    assert right == 10 / 14


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
    assert drawn["shares"] == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]


def test_the_largest_mistakes_come_first() -> None:
    assert mistakes(_MATRIX, _SPACE) == [
        ("lamp", "ground", 0.5),
        ("lamp", "wall", 0.5),
        ("ground", "wall", 0.25),
    ]
