"""Several whole scans for one forward pass of an evaluation.

In eval mode a network looks across no two scans. So a scan gets the same logits alone and in a batch, but for
rounding.
Letters: N points, M voxels, F features of a point; of all scans of a batch, one scan after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lass3d_core.records import labels_or_ignore
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid, unbuilt_pyramid
from lass3d_core.sparse.voxel_inputs import voxel_inputs
from lass3d_core.sparse.voxels import collate
from train.data.evaluation_scans import EvaluationScans, in_camera
from train.data.loading import built_ahead

MOST_POINTS = {"cpu": 2**15, "cuda": 2**19}
"""The most points of a batch, by the type of the device. A scan of more is a batch by itself.

Decision: a GPU wants few, large kernels. 2^19 points are four scans of SemanticKITTI, as many as a
micro-batch of training has, which keeps its activations as well. A CPU gains by batches of small scans alone.
"""


class ScanPoints(NamedTuple):
    """The points of one scan of a batch. inverse (N,) int64: voxels of the batch. labels (N,) uint8."""

    scan_id: str
    inverse: Tensor
    labels: np.ndarray


@dataclass(frozen=True)
class EvaluationBatch:
    """Voxelised scans. ends: where the points of each scan end among the N points of all."""

    scan_ids: tuple[str, ...]
    ends: tuple[int, ...]
    features: Tensor  # (M,3+F) float32
    pyramid: KernelPyramid
    inverse: Tensor  # (N,) int64: the voxel of each point
    labels: np.ndarray  # (N,) uint8: IGNORE on every point of a scan that has none
    in_camera: np.ndarray  # (N,) bool: whether an image of its scan shows the point

    @property
    def scans(self) -> Iterator[ScanPoints]:
        """The points of each scan."""
        for scan_id, (start, end) in zip(self.scan_ids, pairwise((0, *self.ends))):
            yield ScanPoints(scan_id, self.inverse[start:end], self.labels[start:end])


@dataclass(frozen=True, eq=False)
class EvaluationBatches(Dataset[EvaluationBatch]):
    """Item i holds the scans `groups[i]` of `scans`."""

    scans: EvaluationScans
    groups: Sequence[range]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> EvaluationBatch:
        of, config = self.scans, self.scans.config
        make_pyramid = unbuilt_pyramid if of.for_gpu else build_pyramid
        scan_ids = tuple(of.scan_ids[index] for index in self.groups[number])
        coords, features, inverses, labels, shown, first = [], [], [], [], [], 0
        for scan in map(of.pairs.read, scan_ids):
            voxels, seen = voxel_inputs(scan.points, scan.features, config.voxel_m, config.from_corner)
            coords.append(voxels.coords)
            features.append(seen)
            inverses.append(voxels.inverse + first)
            labels.append(labels_or_ignore(scan.labels, len(scan.points)))
            shown.append(in_camera(scan))
            first += len(voxels.coords)
        return EvaluationBatch(
            scan_ids=scan_ids,
            ends=tuple(np.cumsum([len(one) for one in labels]).tolist()),
            features=torch.cat(features),
            pyramid=make_pyramid(collate(coords), of.levels),
            inverse=torch.cat(inverses),
            labels=np.concatenate(labels),
            in_camera=np.concatenate(shown),
        )


def evaluation_batches(
    scans: EvaluationScans, device: torch.device, workers: int, most_points: int | None = None
) -> Iterator[EvaluationBatch]:
    """Every scan of `scans` in order, in batches for `device`. `workers` processes build them ahead.

    most_points: of a batch; None: what suits the device. Raises as `built_ahead` does.
    """
    most = most_points or MOST_POINTS.get(device.type, MOST_POINTS["cpu"])
    groups = grouped_by_size([scans.pairs.point_count(scan_id) for scan_id in scans.scan_ids], most)
    yield from built_ahead(EvaluationBatches(scans, groups), range(len(groups)), workers)


def grouped_by_size(sizes: Iterable[int], most: int) -> list[range]:
    """Neighbours in groups whose sizes sum to `most` or less. One that is larger is a group by itself."""
    groups: list[range] = []
    total = most + 1
    for number, size in enumerate(sizes):
        total += size
        if total <= most:
            groups[-1] = range(groups[-1].start, number + 1)
        else:
            groups.append(range(number, number + 1))
            total = size
    return groups
