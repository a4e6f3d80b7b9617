"""Evaluation by the official metric: mIoU from one confusion matrix over all points of all scans of a split.

A point gets the prediction of its voxel. The network sees points alone: no image, no text, no test-time
augmentation.
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

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.labels import AbsentClasses
from lass3d_core.paper.metrics import accuracy, confusion_matrix, iou, mean_iou
from lass3d_core.settings import read, to_json
from train.data.evaluation_scans import EvaluationScan
from train.report.words import percent
from train.runs.progress import progress_bar


@torch.inference_mode()
def predict(predictor: nn.Module, scan: EvaluationScan, device: torch.device) -> np.ndarray:
    """The train id of every point of `scan` in raw order, (N,) uint8. Keeps the mode of `predictor`."""
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
    """metrics-<split>.json: the figures of a run on a split, and the protocol under which they were measured.

    iou: per class in [0,1]; None if no point has the class in truth or prediction.
    confusion (C,C): numbers of points. Rows are the truth.
    absent: how the official evaluator of the data set counts a class whose iou is None, in miou_official.
    miou_absent_dropped leaves such classes out.
    protocol: how the labelled scans were chosen.
    labelled_scans: how many of training_scans had labels.
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
        """Write the JSON file. Raises StorageError."""
        write_json(path, to_json(self))

    @classmethod
    def load(cls, path: Path) -> Metrics:
        """Read what `save` wrote. Raises MissingArtifact, CorruptArtifact."""
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
    """The fields of Metrics that follow from a confusion matrix (C,C). absent: the official rule."""
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
    """The figures for the terminal: IoU per class in percent, both means, and the protocol."""
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


def with_progress(scans: Iterable[EvaluationScan], total: int, what: str) -> Iterable[EvaluationScan]:
    """`scans` with a progress bar that vanishes at the end. what: the title of the bar."""
    return progress_bar(scans, total=total, desc=what, unit="scan", leave=False, delay=1)


def _or_none(value: float) -> float | None:
    """None for NaN, which JSON lacks."""
    return None if np.isnan(value) else value
