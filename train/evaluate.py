"""Evaluation by the official metric: mIoU from one confusion matrix over all points of all scans of a split.

A point gets the prediction of its voxel. The network sees points alone: no image, no text, no test-time
augmentation.
The same figures are taken once more over the points in camera: those that an image of their scan shows. Words
come from images, so what a network learnt of them shows there first.
Letters: N points of a scan, C classes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.labels import IGNORE, AbsentClasses
from lass3d_core.model.calibration import CalibrationError, fit_temperature
from lass3d_core.model.predict import Prediction
from lass3d_core.paper.metrics import accuracy, confusion_matrix, iou, mean_iou, other_rule, rule_in_words
from lass3d_core.progress.bars import progress_bar
from lass3d_core.settings import read, to_json
from train.data.evaluation_batches import EvaluationBatch, ScanPoints
from train.data.evaluation_scans import EvaluationScan
from train.report.words import counted, labels_of, percent, scans_of


@torch.inference_mode()
def voxel_logits(
    predictor: nn.Module, scan: EvaluationScan | EvaluationBatch, device: torch.device
) -> Tensor:
    """Logits (M,C) float32 of the voxels of a scan or a batch, on `device`. Keeps the mode of `predictor`."""
    logits: Tensor = predictor(scan.features.to(device), scan.pyramid.to(device))
    return logits


def predict(predictor: nn.Module, scan: EvaluationScan, device: torch.device) -> np.ndarray:
    """The train id of every point of `scan` in raw order, (N,) uint8. Keeps the mode of `predictor`."""
    return of_points(voxel_logits(predictor, scan, device), scan)


def confident(
    predictor: nn.Module, scan: EvaluationScan, device: torch.device, temperature: float = 1.0
) -> Prediction:
    """As `predict`, with the probability of each label. temperature: divides the logits."""
    return confident_of_points(voxel_logits(predictor, scan, device), scan, temperature)


def confident_of_points(logits: Tensor, scan: EvaluationScan, temperature: float = 1.0) -> Prediction:
    """The most likely train id of every point, and its probability, from the logits (M,C) of the voxels.

    temperature: divides the logits of the probability. It changes no train id.
    """
    confidence = (logits.float() / temperature).softmax(dim=1).amax(dim=1).cpu()[scan.inverse].numpy()
    return Prediction(of_points(logits, scan), confidence)


def of_points(logits: Tensor, scan: EvaluationScan | EvaluationBatch) -> np.ndarray:
    """The most likely train id of every point, (N,) uint8, from the logits (M,C) of the voxels."""
    return logits.argmax(dim=1).cpu()[scan.inverse].numpy().astype(np.uint8)


@dataclass
class LogitSample:
    """Logits and labels of some labelled points of each scan: confidences are judged on them.

    most: points of all scans together. scans: how many there are.
    """

    most: int
    scans: int
    logits: list[Tensor] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)

    def add(self, logits: Tensor, scan: ScanPoints) -> None:
        """Draw points of one scan from the logits (M,C) of the voxels of its batch, on the CPU.

        The draw depends on the scan alone.
        """
        judged = np.flatnonzero(scan.labels != IGNORE)
        count = min(len(judged), max(1, self.most // max(1, self.scans)))
        rng = np.random.default_rng(zlib.crc32(scan.scan_id.encode()))
        chosen = np.sort(rng.choice(judged, count, replace=False))
        self.logits.append(logits[scan.inverse[torch.from_numpy(chosen)]])
        self.labels.append(scan.labels[chosen])

    def fit_temperature(self) -> float:
        """The temperature under which the confidences of these points fit their labels best."""
        labels = torch.from_numpy(np.concatenate([*self.labels, np.empty(0, np.uint8)]).astype(np.int64))
        return fit_temperature(torch.cat(self.logits), labels) if self.logits else 1.0

    def error(self, temperature: float) -> float | None:
        """The expected calibration error of the confidences under `temperature`."""
        error = CalibrationError()
        for logits, labels in zip(self.logits, self.labels):
            confidence, prediction = (logits / temperature).softmax(dim=1).max(dim=1)
            error.add(confidence.numpy(), prediction.numpy(), labels)
        return error.value


def predictions(
    predictor: nn.Module, scans: Iterable[EvaluationScan], device: torch.device
) -> Iterator[tuple[EvaluationScan, np.ndarray]]:
    """Each of `scans` with the train ids (N,) uint8 of its points. Leaves `predictor` in eval mode."""
    predictor.eval()
    for scan in scans:
        yield scan, predict(predictor, scan, device)


def confusions(
    predictor: nn.Module,
    batches: Iterable[EvaluationBatch],
    num_classes: int,
    device: torch.device,
    sample: LogitSample | None = None,
) -> np.ndarray:
    """The sum of `confusions_of` (2,C,C) over the points of `batches`. Leaves `predictor` in eval mode.

    sample: takes points of each scan.
    """
    matrices = np.zeros((2, num_classes, num_classes), np.int64)
    predictor.eval()
    for batch in batches:
        logits = voxel_logits(predictor, batch, device)
        matrices += confusions_of(batch.labels, of_points(logits, batch), batch.in_camera, num_classes)
        if sample is not None:
            of_voxels = logits.cpu()
            for scan in batch.scans:
                sample.add(of_voxels, scan)
    return matrices


def confusions_of(
    truth: np.ndarray, prediction: np.ndarray, in_camera: np.ndarray, num_classes: int
) -> np.ndarray:
    """Two confusions (2,C,C) int64, rows the truth: over all points, and over those in camera.

    truth, prediction (N,): train ids. in_camera (N,) bool. Raises as `confusion_matrix` does.
    """
    shown = confusion_matrix(truth[in_camera], prediction[in_camera], num_classes)
    return np.stack([confusion_matrix(truth, prediction, num_classes), shown])


@dataclass(frozen=True)
class CameraFigures:
    """The figures of Metrics that follow from a confusion matrix, over the points in camera."""

    miou_official: float | None
    miou_absent_dropped: float | None
    accuracy: float | None
    iou: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    points: int

    @property
    def matrix(self) -> np.ndarray:
        """`confusion` as an array (C,C) int64."""
        return np.array(self.confusion, np.int64)


@dataclass(frozen=True)
class Metrics:
    """metrics-<split>.json: the figures of a run on a split, and the protocol under which they were measured.

    iou: per class in [0,1]; None if no point has the class in truth or prediction.
    confusion (C,C): numbers of points. Rows are the truth.
    absent: how the official evaluator of the data set counts a class whose iou is None, in miou_official.
    miou_absent_dropped leaves such classes out.
    scans: the scans of the split that have labels. split_scans: all of them; None in files of before.
    protocol: how the labelled scans were chosen.
    labelled_scans: how many of training_scans had labels.
    in_camera: the figures over the points in camera; None if there are none, and in files of before.
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
    split_scans: int | None = None
    absent: AbsentClasses = "zero"
    checkpoint: str = "last"
    level: str = "points"
    passes: int = 1  # test-time augmentation; 1 = none
    temperature: float | None = None  # of the confidences, fitted on the validation split
    ece: float | None = None  # expected calibration error of the confidences without the temperature
    ece_calibrated: float | None = None  # with it
    in_camera: CameraFigures | None = None

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
    def partly_labelled(self) -> str:
        """ "4 of 5 scans of val have labels"; "" if all have, or if nobody recorded it."""
        if self.split_scans is None or self.split_scans <= self.scans:
            return ""
        return labels_of(self.scans, self.split_scans, self.split)

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


def both_figures(matrices: np.ndarray, absent: AbsentClasses = "zero") -> dict[str, Any]:
    """The fields of Metrics that follow from both confusions (2,C,C) of `confusions_of`."""
    every, seen = (figures_of(matrix, absent) for matrix in matrices)
    in_camera = CameraFigures(**{field.name: seen[field.name] for field in fields(CameraFigures)})
    return every | {"in_camera": in_camera if in_camera.points else None}


def metrics_table(metrics: Metrics) -> str:
    """The figures for the terminal: IoU and points per class, both means, the official first, protocol.

    The means stand there once more for the points in camera, unless those are all points.
    """
    width, digits = max(map(len, metrics.class_names)), max(5, len(str(metrics.points)))
    truth, predicted = (metrics.matrix.sum(axis=axis).tolist() for axis in (1, 0))
    lines = [f"  {'class':<{width}}  IoU %  {'true':>{digits}}  {'predicted':>9} points"] + [
        f"  {name:<{width}}  {percent(value, '-'):>5}  {true:>{digits}}  {said:>9}"
        for name, value, true, said in zip(metrics.class_names, metrics.iou, truth, predicted)
    ]
    lines.append(_means(metrics, metrics.absent))
    if (seen := metrics.in_camera) is not None and seen.confusion != metrics.confusion:
        share = percent(seen.points / metrics.points)
        lines.append(f"in camera ({share} % of the points): {_means(seen, metrics.absent)}")
    lines.append(
        f"{metrics.split}: {counted(metrics.points, 'point')} of "
        f"{scans_of(metrics.scans, metrics.split_scans, metrics.split)}, point level, "
        f"{metrics.checkpoint} checkpoint, {_passes(metrics)}; "
        f"{metrics.labelled_scans} of {counted(metrics.training_scans, 'training scan')} labelled "
        f"({metrics.protocol}, {metrics.ratio:g} %, seed {metrics.seed})"
    )
    if metrics.ece is not None and metrics.ece_calibrated is not None:
        lines.append(
            f"calibration error of the confidences {percent(metrics.ece, '-')} %, "
            f"{percent(metrics.ece_calibrated, '-')} % with the temperature {metrics.temperature:.2f}"
        )
    return "\n".join(lines)


def _means(figures: Metrics | CameraFigures, absent: AbsentClasses) -> str:
    other = other_rule(absent)
    return (
        f"mIoU {percent(figures.miou_official, '-')} % ({rule_in_words(absent)}: the official rule), "
        f"{percent(mean_iou(figures.matrix, other), '-')} % ({rule_in_words(other)}), "
        f"accuracy {percent(figures.accuracy, '-')} %"
    )


def _passes(metrics: Metrics) -> str:
    if metrics.passes == 1:
        return "no test-time augmentation"
    return f"the mean of {metrics.passes} turned and mirrored passes"


def with_progress(scans: Iterable[EvaluationScan], total: int, what: str) -> Iterable[EvaluationScan]:
    """`scans` with a progress bar that vanishes at the end. what: the title of the bar."""
    return progress_bar(scans, total=total, desc=what, unit="scan", leave=False, delay=1)


def batches_with_progress(
    batches: Iterable[EvaluationBatch], total: int, what: str
) -> Iterator[EvaluationBatch]:
    """`batches` with a progress bar over their `total` scans, as `with_progress`."""
    with progress_bar(total=total, desc=what, unit="scan", leave=False, delay=1) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.scan_ids))


def _or_none(value: float) -> float | None:
    """None for NaN, which JSON lacks."""
    return None if np.isnan(value) else value
