"""The official segmentation metric: one confusion matrix over all points of all scans.

Rows are the truth, columns the prediction. Matrices of parts add up to the matrix of the whole.
Letters: N points, C classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lass3d_core.labels import IGNORE


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (C,C) int64 of train ids truth (N,) and prediction (N,); points whose truth is 255 do not count.

    Raises ValueError where a prediction, or a truth that counts, is no class.
    """
    counted = truth != IGNORE
    rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, ids in (("truth", rows), ("prediction", columns)):
        if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
            raise ValueError(f"{name} must lie in [0, {num_classes}), got [{ids.min()}, {ids.max()}]")
    cells = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union per class (C,) float64 in [0,1]; NaN for a class neither true nor predicted."""
    hits = np.diagonal(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(matrix: np.ndarray, absent: Literal["dropped", "zero"] = "zero") -> float:
    """Mean of `iou` over the classes, in [0,1].

    absent: what a class counts that is neither true nor predicted: nothing ("dropped", common in code bases
    with small validation sets) or 0 ("zero", what semantic-kitti-api computes). Only small sets have any.
    """
    per_class = iou(matrix)
    if absent == "zero":
        return float(np.nan_to_num(per_class).mean())
    present = per_class[~np.isnan(per_class)]
    return float(present.mean()) if present.size else float("nan")


def accuracy(matrix: np.ndarray) -> float:
    """Share of the counted points that are right, in [0,1]; NaN without any."""
    total = int(matrix.sum())
    return float(np.trace(matrix) / total) if total else float("nan")
