"""Whole scans for evaluation: every point, no augmentation, no text.

Letters: N points, M voxels, F features of a point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid, unbuilt_pyramid
from lass3d_core.sparse.voxel_inputs import voxel_inputs
from lass3d_core.sparse.voxels import collate
from train.config import DataConfig
from train.data.loading import built_ahead
from train.data.paired_scans import PairedScans


@dataclass(frozen=True)
class EvaluationScan:
    """A voxelised scan."""

    scan_id: str
    features: Tensor  # (M,3+F) float32
    pyramid: KernelPyramid
    inverse: Tensor  # (N,) int64: the voxel of each point
    labels: np.ndarray  # (N,) uint8: IGNORE everywhere if the scan has none


@dataclass(frozen=True, eq=False)
class EvaluationScans(Dataset[EvaluationScan]):
    """Item i is scan i of `scan_ids`. levels: of the kernel maps that the backbone needs.

    for_gpu: as for `evaluation_scan`.
    """

    pairs: PairedScans
    scan_ids: Sequence[str]
    config: DataConfig
    levels: int
    for_gpu: bool = False

    def __len__(self) -> int:
        return len(self.scan_ids)

    def __getitem__(self, number: int) -> EvaluationScan:
        scan = self.pairs.read(self.scan_ids[number])
        return evaluation_scan(scan, self.config, self.levels, self.for_gpu)


def evaluation_scan(
    scan: PairedScan, config: DataConfig, levels: int, for_gpu: bool = False
) -> EvaluationScan:
    """`scan` voxelised, with kernel maps of `levels` levels.

    for_gpu: without the maps, which the GPU builds when the pyramid is moved to it.
    """
    make_pyramid = unbuilt_pyramid if for_gpu else build_pyramid
    voxels, features = voxel_inputs(scan.points, scan.features, config.voxel_m, config.from_corner)
    return EvaluationScan(
        scan_id=scan.scan_id,
        features=features,
        pyramid=make_pyramid(collate([voxels.coords]), levels),
        inverse=voxels.inverse,
        labels=labels_or_ignore(scan.labels, len(scan.points)),
    )


def in_camera(scan: PairedScan) -> np.ndarray:
    """Which points of `scan` one of its images shows, (N,) bool.

    Images that earlier scans lend it (`pairs.earlier_scans`) count as its own: a shard does not tell them
    apart.
    """
    return (scan.pairs.image != NONE).any(axis=1)


def scan_loader(scans: EvaluationScans, workers: int) -> Iterator[EvaluationScan]:
    """Every scan of `scans` in order. `workers` processes build them ahead. Raises as `built_ahead` does."""
    yield from built_ahead(scans, range(len(scans)), workers)
