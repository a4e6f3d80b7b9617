"""Figures of a run and of the runs beside it: IoU per class, means, confusion.

Letters: C classes. A confusion matrix is (C,C) int64, rows the truth, columns the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lass3d_core.labels import LabelSpace
from lass3d_core.paper.metrics import accuracy, iou, mean_iou
from train.demo import NOISE
from train.evaluate import Metrics
from train.report.runs import SPLITS, RunRecord
from train.report.words import percent

_WORST = 8


@dataclass(frozen=True)
class RunResult:
    """What a run reached on one split. name: how the page calls the run. matrix: its confusion (C,C)."""

    name: str
    matrix: np.ndarray

    @property
    def mean(self) -> float:
        """Mean IoU over the classes that occur, in [0,1]."""
        return mean_iou(self.matrix, "dropped")


@dataclass(frozen=True)
class ResultLine:
    """A row of the table of IoU: a class or a mean."""

    name: str
    values: tuple[float, ...]  # one per run, in [0,1]; NaN if the class is neither true nor predicted
    colour: str = ""
    points: str = ""  # the class's share of all true points

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
    found = [RunResult(run.title, run.metrics[split].matrix) for run in runs if split in run.metrics]
    return shown_results(own[split], own.get("val") if split == "test" else None, found, space)


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
        "means": mean_lines(found),
        "absent": [name for name in space.names if name not in names],
        "mistakes": mistakes(metrics.matrix, space),
        "confusion": confusion_map(metrics.matrix, space),
        "noise": NOISE,
    }


def class_lines(found: Sequence[RunResult], space: LabelSpace) -> tuple[ResultLine, ...]:
    """One line for each class that is true or predicted in any run."""
    columns = np.array([iou(result.matrix) for result in found])
    truth = found[0].matrix.sum(axis=1)
    return tuple(
        ResultLine(
            space.names[label],
            tuple(columns[:, label].tolist()),
            css_colour(space, label),
            _share(int(truth[label]), int(truth.sum())),
        )
        for label in np.flatnonzero(~np.isnan(columns).all(axis=0)).tolist()
    )


def mean_lines(found: Sequence[RunResult]) -> tuple[ResultLine, ...]:
    """Both means of IoU, and the share of points that are right."""
    return (
        ResultLine("mean over classes that occur", tuple(result.mean for result in found)),
        ResultLine("mean, absent classes as 0", tuple(mean_iou(result.matrix, "zero") for result in found)),
        ResultLine("points right", tuple(accuracy(result.matrix) for result in found)),
    )


def mistakes(matrix: np.ndarray, space: LabelSpace) -> list[tuple[str, str, float]]:
    """(truth, what it is taken for, share of the truth's points), the largest share first, from 0.5 % on."""
    wrong = shares_of_truth(matrix) * (1 - np.eye(len(matrix)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_WORST].tolist()
    found = [(divmod(index, len(matrix)), float(wrong.flat[index])) for index in order]
    names = space.names
    return [(names[row], names[column], share) for (row, column), share in found if share >= 0.005]


def confusion_map(matrix: np.ndarray, space: LabelSpace) -> dict[str, list[Any]]:
    """The names of the classes that are true or predicted, and their confusion in shares of the truth."""
    occur = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    shares = shares_of_truth(matrix)[np.ix_(occur, occur)]
    return {"names": [space.names[label] for label in occur], "shares": shares.tolist()}


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
