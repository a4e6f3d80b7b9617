from __future__ import annotations

import numpy as np

from train.report.results import verdict
from train.report.tables import RunResult


def _result(name: str, right: int) -> RunResult:
    """One of two classes is predicted right `right` times of 100, the other always."""
    return RunResult(name, np.array([[right, 100 - right], [0, 100]]))


def test_the_verdict_says_worse_where_it_is_worse_and_better_where_it_is_better() -> None:
    words = verdict(
        [_result("LASS3D", 60), _result("supervised only", 90), _result("Mean Teacher", 20)], "test"
    )
    assert "points worse than supervised only" in words
    assert "points better than Mean Teacher" in words
    assert "within the noise" not in words


def test_a_small_difference_is_called_noise() -> None:
    words = verdict([_result("LASS3D", 60), _result("supervised only", 61)], "val")
    assert "within the noise" in words
    assert "validation scans" in words


def test_the_figures_are_those_of_the_matrices() -> None:
    words = verdict([_result("a", 50), _result("b", 100)], "test")
    assert "a (58.3) is 41.7 points worse than b (100.0)" in words
