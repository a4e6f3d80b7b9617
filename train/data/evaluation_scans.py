"""Whole scans for evaluation: every point, no augmentation, no text. Letters: N points, M voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lass3d_core.records import PairedScan, labels_or_ignore
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from lass3d_core.sparse.voxels import collate
from train.config import DataConfig
from train.data.paired_scans import PairedScans
from train.data.voxel_inputs import voxel_inputs


@dataclass(frozen=True)
class EvaluationScan:
    """A voxelised scan.

    features (M,F) float32.
    inverse (N,) int64: the voxel of each point.
    labels (N,) uint8: IGNORE everywhere if the scan has none.
    """

    scan_id: str
    features: Tensor
    pyramid: KernelPyramid
    inverse: Tensor
    labels: np.ndarray


class EvaluationScans(Dataset[EvaluationScan]):
    """Item i is scan i of `scan_ids`."""

    def __init__(self, pairs: PairedScans, scan_ids: Sequence[str], config: DataConfig, levels: int) -> None:
        self._pairs = pairs
        self._scan_ids = scan_ids
        self._config = config
        self._levels = levels

    def __len__(self) -> int:
        return len(self._scan_ids)

    def __getitem__(self, number: int) -> EvaluationScan:
        return evaluation_scan(self._pairs.read(self._scan_ids[number]), self._config, self._levels)


def evaluation_scan(scan: PairedScan, config: DataConfig, levels: int) -> EvaluationScan:
    """`scan` voxelised. levels: of the kernel maps that the backbone needs."""
    voxels, features = voxel_inputs(scan.points, scan.features, config)
    return EvaluationScan(
        scan_id=scan.scan_id,
        features=features,
        pyramid=build_pyramid(collate([voxels.coords]), levels),
        inverse=voxels.inverse,
        labels=labels_or_ignore(scan.labels, len(scan.points)),
    )


def scan_loader(scans: EvaluationScans, workers: int) -> Iterator[EvaluationScan]:
    """Every scan of `scans` in order. `workers` processes build them in advance."""
    return iter(DataLoader(scans, batch_size=None, num_workers=workers))
