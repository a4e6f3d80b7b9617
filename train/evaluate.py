"""The official metric: point-level mIoU, one confusion matrix over all points of all scans of a split.

A point is predicted as its voxel is. Points alone go in: no image, no text, no test-time augmentation.
Letters: N points of a scan, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.checked_json import read_json, write_json
from lass3d_core.labels import AbsentClasses
from lass3d_core.paper.metrics import accuracy, confusion_matrix, iou, mean_iou
from lass3d_core.settings import read, to_json
from train.data.batches import EvaluationScan
from train.report.words import percent


@torch.inference_mode()
def predict(predictor: nn.Module, scan: EvaluationScan, device: torch.device) -> np.ndarray:
    """The train id of every point of `scan` in raw order, (N,) uint8. The mode of `predictor` stays."""
    logits = predictor(scan.features.to(device), scan.pyramid.to(device))
    return logits.argmax(dim=1).cpu()[scan.inverse].numpy().astype(np.uint8)


def predictions(
    predictor: nn.Module, scans: Iterable[EvaluationScan], device: torch.device
) -> Iterator[tuple[EvaluationScan, np.ndarray]]:
    """Each of `scans` with the train ids (N,) uint8 of its points. Leaves `predictor` in eval mode."""
    predictor.eval()
    for scan in scans:
        yield scan, predict(predictor, scan, device)


def confusion(
    predictor: nn.Module, scans: Iterable[EvaluationScan], num_classes: int, device: torch.device
) -> np.ndarray:
    """Confusion (C,C) int64 over all points of `scans`, rows the truth. Leaves `predictor` in eval mode."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for scan, predicted in predictions(predictor, scans, device):
        matrix += confusion_matrix(scan.labels, predicted, num_classes)
    return matrix


@dataclass(frozen=True)
class Metrics:
    """metrics-<split>.json: the figures, and beside them the protocol that they were taken under.

    confusion (C,C): points, rows the truth. iou: per class in [0,1], None where it is neither true nor
    predicted. absent: what such a class counts in miou_official, as in the data set's official evaluator;
    in miou_absent_dropped it counts nothing.
    protocol: how the labelled scans were chosen. labelled_scans: how many of training_scans had labels.
    """

    run_digest: str
    split: str
    miou_official: float | None
    miou_absent_dropped: float | None
    accuracy: float | None
    class_names: tuple[str, ...]
    iou: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    scans: int
    points: int
    protocol: str
    ratio: float
    seed: int
    labelled_scans: int
    training_scans: int
    steps: int
    absent: AbsentClasses = "zero"
    checkpoint: str = "last"
    level: str = "points"
    test_time_augmentation: bool = False

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all. Raises StorageError."""
        write_json(path, to_json(self))

    @classmethod
    def load(cls, path: Path) -> Metrics:
        """What `save` wrote. Raises MissingArtifact, CorruptArtifact."""
        try:
            return read(cls, read_json(path))
        except FileNotFoundError:
            raise MissingArtifact(f'{path} is missing; run "make eval"') from None
        except (OSError, ValueError) as error:
            raise CorruptArtifact(
                f'{path} holds no metrics ({error}); delete it and run "make eval"'
            ) from None

    @property
    def matrix(self) -> np.ndarray:
        """`confusion` as an array (C,C) int64."""
        return np.array(self.confusion, np.int64)


def figures_of(matrix: np.ndarray, absent: AbsentClasses = "zero") -> dict[str, Any]:
    """The fields of Metrics that follow from a confusion matrix (C,C); absent: the official rule."""
    return {
        "absent": absent,
        "miou_official": _or_none(mean_iou(matrix, absent)),
        "miou_absent_dropped": _or_none(mean_iou(matrix, "dropped")),
        "accuracy": _or_none(accuracy(matrix)),
        "iou": tuple(_or_none(value) for value in iou(matrix).tolist()),
        "confusion": tuple(tuple(row) for row in matrix.tolist()),
        "points": int(matrix.sum()),
    }


def metrics_table(metrics: Metrics) -> str:
    """The figures for the terminal: IoU per class in percent, both means, and what they were taken under."""
    width = max(map(len, metrics.class_names))
    lines = [
        f"  {name:<{width}}  {percent(value, '-'):>4}"
        for name, value in zip(metrics.class_names, metrics.iou)
    ]
    lines += [
        f"mIoU {percent(mean_iou(metrics.matrix, 'zero'), '-')} % {_rule(metrics, 'zero')}, "
        f"{percent(metrics.miou_absent_dropped, '-')} % {_rule(metrics, 'dropped')}, "
        f"accuracy {percent(metrics.accuracy, '-')} %",
        f"{metrics.split}: {metrics.points} points of {metrics.scans} scans, point level, "
        f"{metrics.checkpoint} checkpoint, no test-time augmentation; "
        f"{metrics.labelled_scans} of {metrics.training_scans} training scans labelled "
        f"({metrics.protocol}, {metrics.ratio:g} %, seed {metrics.seed})",
    ]
    return "\n".join(lines)


def _rule(metrics: Metrics, absent: AbsentClasses) -> str:
    words = {"zero": "absent classes count 0", "dropped": "absent classes dropped"}[absent]
    return f"({words}: the official rule)" if absent == metrics.absent else f"({words})"


def with_progress(
    scans: Iterable[EvaluationScan], total: int, what: str, line: int = 0
) -> Iterable[EvaluationScan]:
    """`scans` behind a progress bar that vanishes at the end."""
    return tqdm(
        scans, total=total, desc=what, unit="scan", leave=False, position=line, delay=1, dynamic_ncols=True
    )


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
