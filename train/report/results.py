"""Figures of a run and of the runs beside it: IoU per class, means, confusion.

Letters: C classes. A confusion matrix is (C,C) int64, rows the truth, columns the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lass3d_core.labels import AbsentClasses, LabelSpace
from lass3d_core.paper.metrics import accuracy, iou, mean_iou, other_rule, rule_in_words
from train.demo.noise import noise_of
from train.evaluate import Metrics
from train.report.runs import SPLITS, RunRecord
from train.report.words import percent

_WORST = 8

LEAST_POINTS = 100
"""Classes with fewer true points are not among the worst mistakes.

Decision: a number, about one pedestrian, and no share of all points. A share would hide the rare classes of
large sets, which are what one looks for there. The means count every class.
"""


@dataclass(frozen=True)
class RunResult:
    """What a run reached on one split.

    name: how the page calls the run. matrix: its confusion (C,C). absent: the official rule of the data set.
    """

    name: str
    matrix: np.ndarray
    absent: AbsentClasses = "zero"

    @property
    def mean(self) -> float:
        """Mean IoU in [0,1] by the official rule."""
        return mean_iou(self.matrix, self.absent)


@dataclass(frozen=True)
class Mistake:
    """What a class is often taken for."""

    truth: str
    taken_for: str
    points: int  # of the class that are taken for the other
    of: int  # all points of the class

    @property
    def share(self) -> float:
        """The share of the class's points, in [0,1]."""
        return self.points / self.of


@dataclass(frozen=True)
class ResultLine:
    """A row of the table of IoU: a class or a mean."""

    name: str
    values: tuple[float, ...]  # one per run, in [0,1]; NaN if the class is neither true nor predicted
    colour: str = ""
    points: int = 0  # that are truly of the class
    share: str = ""  # of all points
    predicted: int = 0  # points that the page's run gives the class

    @property
    def best(self) -> int | None:
        """Index of the run that is better than every other; None in a tie or if there is one run only."""
        highest = [index for index, value in enumerate(self.values) if value == np.nanmax(self.values)]
        return highest[0] if len(self.values) > 1 and len(highest) == 1 else None


def results(runs: Sequence[RunRecord], space: LabelSpace) -> dict[str, Any] | None:
    """Collect the figures of `runs`, the page's run first; None if it was not evaluated."""
    own = runs[0].metrics
    split = next((split for split in SPLITS if split in own), None)
    if split is None:
        return None
    found = [_result_of(run, split) for run in runs if split in run.metrics]
    return shown_results(own[split], own.get("val") if split == "test" else None, found, space)


def _result_of(run: RunRecord, split: str) -> RunResult:
    metrics = run.metrics[split]
    return RunResult(run.title, metrics.matrix, metrics.absent)


def shown_results(
    metrics: Metrics, validation: Metrics | None, found: Sequence[RunResult], space: LabelSpace
) -> dict[str, Any]:
    """Everything that results.html says.

    metrics: of the page's run. validation: its figures for validation, if `metrics` are of another split.
    found: the page's run, then the runs beside it.
    """
    classes = class_lines(found, space)
    names = {line.name for line in classes}
    return {
        "metrics": metrics,
        "validation": validation,
        "found": found,
        "classes": classes,
        "means": mean_lines(found, metrics.absent),
        "rule": rule_in_words(metrics.absent),
        "dropped": metrics.absent == "dropped",
        "other_mean": mean_iou(metrics.matrix, other_rule(metrics.absent)),
        "absent": [name for name in space.names if name not in names],
        "mistakes": mistakes(metrics.matrix, space),
        "few": few_points(metrics.matrix, space),
        "least": LEAST_POINTS,
        "confusion": confusion_map(metrics.matrix, space),
        "noise": noise_of(metrics),
    }


def class_lines(found: Sequence[RunResult], space: LabelSpace) -> tuple[ResultLine, ...]:
    """One line for each class that is true or predicted in any run."""
    columns = np.array([iou(result.matrix) for result in found])
    truth, predicted = found[0].matrix.sum(axis=1), found[0].matrix.sum(axis=0)
    return tuple(
        ResultLine(
            space.names[label],
            tuple(columns[:, label].tolist()),
            css_colour(space, label),
            int(truth[label]),
            _share(int(truth[label]), int(truth.sum())),
            int(predicted[label]),
        )
        for label in np.flatnonzero(~np.isnan(columns).all(axis=0)).tolist()
    )


def mean_lines(found: Sequence[RunResult], absent: AbsentClasses) -> tuple[ResultLine, ...]:
    """Both means of IoU, the official one (`absent`) first, and the share of points that are right."""
    other = other_rule(absent)
    return (
        ResultLine(f"mean, {rule_in_words(absent)} (official)", tuple(result.mean for result in found)),
        ResultLine(f"mean, {rule_in_words(other)}", tuple(mean_iou(one.matrix, other) for one in found)),
        ResultLine("points right", tuple(accuracy(result.matrix) for result in found)),
    )


def mistakes(matrix: np.ndarray, space: LabelSpace) -> list[Mistake]:
    """The largest shares of a class that are taken for another one, the largest first, from 0.5 % on.

    Classes with fewer than LEAST_POINTS points are left out.
    """
    counts = matrix.sum(axis=1)
    wrong = shares_of_truth(matrix) * (1 - np.eye(len(matrix))) * (counts >= LEAST_POINTS)[:, None]
    order = np.argsort(-wrong, axis=None, kind="stable")[:_WORST].tolist()
    places = [divmod(index, len(matrix)) for index in order if wrong.flat[index] >= 0.005]
    return [
        Mistake(space.names[row], space.names[column], int(matrix[row, column]), int(counts[row]))
        for row, column in places
    ]


def few_points(matrix: np.ndarray, space: LabelSpace) -> list[tuple[str, int]]:
    """(class, its points) for the classes that occur and have fewer than LEAST_POINTS points."""
    counts = enumerate(matrix.sum(axis=1).tolist())
    return [(space.names[label], count) for label, count in counts if 0 < count < LEAST_POINTS]


def confusion_map(matrix: np.ndarray, space: LabelSpace) -> dict[str, list[Any]]:
    """The classes that are true or predicted: names, true points, and their confusion.

    cells: rows of (share of the truth, points).
    """
    occur = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    counts = matrix[np.ix_(occur, occur)]
    rows = zip(shares_of_truth(counts).tolist(), counts.tolist())
    return {
        "names": [space.names[label] for label in occur],
        "points": counts.sum(axis=1).tolist(),
        "cells": [list(zip(shares, points)) for shares, points in rows],
    }


def shares_of_truth(matrix: np.ndarray) -> np.ndarray:
    """The confusion matrix (C,C) float64 with each row as shares of its sum; rows without points are 0."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def css_colour(space: LabelSpace, label: int) -> str:
    """The colour of a class as CSS."""
    return "rgb({} {} {})".format(*space.colours[label])


def _share(part: int, whole: int) -> str:
    if not part:
        return "–"
    return f"{percent(part / whole)} %" if part >= whole / 1000 else "< 0.1 %"
