"""The official segmentation metric: one confusion matrix over all points of all scans.

Rows are the truth, columns the prediction. Matrices of parts add up to the matrix of the whole.
Letters: N points, C classes.

The official evaluators differ in two points only.
A class that is neither true nor predicted, which only small sets have: semantic-kitti-api's
evaluate_semantics.py counts it as 0 ("zero"). nuScenes' lidarseg evaluation takes NumPy's nanmean and leaves
it out ("dropped"). ScanNet's evaluate_semantic_label.py prints IoU per class alone and fails if one is
undefined.
Decision: "dropped" for ScanNet, too.
A prediction outside the classes: for SemanticKITTI and ScanNet it is a miss of its point and counts against
no other class. nuScenes refuses it. Decision: refused here, too; no network predicts one.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.labels import IGNORE, AbsentClasses


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pairs of true and predicted class, (C,C) int64. Points whose truth is 255 do not count.

    truth, prediction (N,): train ids.
    Raises ValueError if a prediction, or a truth that counts, is no class.
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


def mean_iou(matrix: np.ndarray, absent: AbsentClasses = "zero") -> float:
    """Mean of `iou` over the classes, in [0,1]; NaN if every class is absent and dropped."""
    per_class = iou(matrix)
    if absent == "zero":
        return float(np.nan_to_num(per_class).mean())
    present = per_class[~np.isnan(per_class)]
    return float(present.mean()) if present.size else float("nan")


def other_rule(absent: AbsentClasses) -> AbsentClasses:
    """The rule that is not `absent`."""
    return "dropped" if absent == "zero" else "zero"


def rule_in_words(absent: AbsentClasses) -> str:
    """The rule of `mean_iou` in words."""
    return {"zero": "absent classes count 0", "dropped": "absent classes dropped"}[absent]


def accuracy(matrix: np.ndarray) -> float:
    """Share of the counted points that are right, in [0,1]; NaN if there are none."""
    total = int(matrix.sum())
    return float(np.trace(matrix) / total) if total else float("nan")
