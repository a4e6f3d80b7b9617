"""What a trained network says about whole scans: how sure it is, how steady, and what a scan is like.

Letters: N points, M voxels, C classes, D channels of the features that the classifier gets, V views.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lass3d_core.errors import DataError
from lass3d_core.model.views import view_of
from lass3d_core.nets.segmenter import Segmenter
from train.data.evaluation_scans import EvaluationScan, evaluation_scan
from train.data.loading import built_ahead
from train.runs.run import Run


@dataclass(frozen=True)
class ScanAnswer:
    """The network's answer for one scan."""

    scan_id: str
    prediction: np.ndarray  # (N,) uint8: train ids
    entropy: np.ndarray  # (N,) float32 in [0,1]: of the calibrated probabilities, see `entropy_share`
    changes: np.ndarray  # (N,) bool: a turned or mirrored view gives the point another class
    class_counts: np.ndarray  # (C,) int64: points of each predicted class
    class_features: np.ndarray  # (C,D) float32: mean features of each predicted class, 0 without points

    @property
    def uncertainty(self) -> float:
        """The mean of `entropy`, in [0,1]."""
        return float(self.entropy.mean(dtype=float))

    @property
    def disagreement(self) -> float:
        """The share of the points that change class, in [0,1]."""
        return float(self.changes.mean())

    @property
    def unsure_class(self) -> int:
        """The predicted class whose points hold the most entropy."""
        return int(np.bincount(self.prediction, self.entropy).argmax())


@dataclass(frozen=True)
class ScanNetwork:
    """The text-free network of a trained run, with the temperature of its confidences."""

    run: Run
    segmenter: Segmenter
    temperature: float

    @classmethod
    def of(cls, run: Run) -> ScanNetwork:
        """Load it. Raises MissingArtifact if the run is not trained to its end, CorruptArtifact."""
        return cls(run, cast(Segmenter, run.trained_predictor()), run.fitted_temperature() or 1.0)

    def answers(self, scan_ids: Sequence[str], views: int = 1) -> Iterator[ScanAnswer]:
        """The answer for each scan, in order. Raises DataError if it is no number, CorruptArtifact."""
        scans = _ScanViews(self.run, scan_ids, views)
        for of_scan in built_ahead(scans, range(len(scan_ids)), self.run.config.data.workers):
            yield self._answer(of_scan)

    @torch.inference_mode()
    def _answer(self, views: Sequence[EvaluationScan]) -> ScanAnswer:
        scan, device = views[0], self.run.device
        features = self.segmenter.embed(scan.features.to(device), scan.pyramid.to(device))
        logits = self.segmenter.classifier(features)
        if not torch.isfinite(logits).all():
            raise DataError(
                f"the network gives no numbers for the scan {scan.scan_id}: its training has diverged; "
                "train again with a smaller optim.peak_lr"
            )
        label = logits.argmax(dim=1)
        points = torch.bincount(scan.inverse, minlength=len(label)).to(device)
        means, counts = mean_features(features, label, points, self.run.pairs.num_classes)
        predictions = [_of_points(label, scan)]
        for view in views[1:]:
            seen = self.segmenter(view.features.to(device), view.pyramid.to(device))
            predictions.append(_of_points(seen.argmax(dim=1), view))
        return ScanAnswer(
            scan.scan_id,
            predictions[0].astype(np.uint8),
            _of_points(entropy_share(logits / self.temperature), scan),
            differs_in_a_view(predictions),
            counts.cpu().numpy(),
            means.cpu().numpy(),
        )


def entropy_share(logits: Tensor) -> Tensor:
    """The entropy of softmax(logits (M,C)) as a share of log C, the greatest possible; (M,) in [0,1]."""
    log_probability = logits.log_softmax(dim=1)
    entropy = -(log_probability.exp() * log_probability).sum(dim=1)
    return entropy / math.log(max(2, logits.shape[1]))


def differs_in_a_view(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Which points have another class in one of the views (N,) than in the first; (N,) bool."""
    first, *others = predictions
    return np.any([other != first for other in others] or [np.zeros(len(first), bool)], axis=0)


def mean_features(features: Tensor, label: Tensor, points: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mean features (C,D) of the points of each class, 0 for a class without points, and their numbers (C,).

    features (M,D), label (M,) int64, points (M,) int64: how many points each voxel holds.
    """
    counts = torch.zeros(num_classes, dtype=torch.int64, device=label.device).index_add_(0, label, points)
    sums = torch.zeros(num_classes, features.shape[1], device=features.device)
    sums.index_add_(0, label, features.float() * points[:, None])
    return sums / counts.clamp(min=1)[:, None], counts


class _ScanViews(Dataset[list[EvaluationScan]]):
    """Item i is scan i of `scan_ids` in `views` views; the first is the scan as it is."""

    def __init__(self, run: Run, scan_ids: Sequence[str], views: int) -> None:
        self._pairs, self._data, self._levels = run.pairs, run.config.data, run.levels
        self._scan_ids, self._views = scan_ids, views

    def __len__(self) -> int:
        return len(self._scan_ids)

    def __getitem__(self, number: int) -> list[EvaluationScan]:
        scan = self._pairs.read(self._scan_ids[number])
        return [
            evaluation_scan(
                replace(scan, points=view_of(scan.points, view, self._views)), self._data, self._levels
            )
            for view in range(self._views)
        ]


def _of_points(of_voxels: Tensor, scan: EvaluationScan) -> np.ndarray:
    """From the voxels (M,) to the points (N,), in raw order."""
    return of_voxels.cpu()[scan.inverse].numpy()
