"""Shards -> augmented, voxelised batches: the one data set of torch, blind to which data these are.

A step takes `accumulate` micro-batches. Micro-batch t, counted over the whole run, is a pure function of
(seed, t): no number of workers, no order among them and no restart changes it.
Letters: N points of a scan, M voxels of the batch, F input features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lass3d_core.errors import ManifestError
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from lass3d_core.sparse.voxels import Voxels, collate, first_valid, majority_label, mean_by_voxel, voxelise
from train.config import DataConfig
from train.data.ahead import prefetch
from train.data.augment import augmented, keep_indices, shift_features
from train.data.misnamed import misnamed
from train.data.paired_scans import PairedScans
from train.data.panorama import panorama
from train.data.sectors import Sector, SectorCloud, one_cloud
from train.data.text_batches import TextRowsOf
from train.methods.contract import SemiBatch

_LABELLED, _UNLABELLED, _ORDER, _PANORAMA = 0, 1, 2, 3
"""What a random stream is for; the streams of a seed never meet."""


@dataclass(frozen=True)
class VoxelScan:
    """One scan of a batch. features (M,F) float32; labels, image, entity (M,) int64, see SemiBatch."""

    voxels: Voxels
    features: Tensor
    labels: Tensor
    image: Tensor
    entity: Tensor


@dataclass(frozen=True)
class RankShare:
    """Which scans of a micro-batch are built here: those in the slots index, index + parts, ..."""

    index: int
    parts: int


WHOLE = RankShare(0, 1)


class StepBatches(Dataset[SemiBatch]):
    """Item t is micro-batch t; step s takes those from s * accumulate on."""

    def __init__(
        self,
        pairs: PairedScans,
        split: LabelledSplit,
        config: DataConfig,
        seed: int,
        levels: int,
        steps: int,
        part: RankShare = WHOLE,
    ) -> None:
        """levels: of the kernel maps that the backbone asks for. steps: of the optimiser. part: of each
        micro-batch's scans, where several processes share them. Raises ManifestError where they cannot.
        """
        for name in ("labelled_scans", "unlabelled_scans"):
            if getattr(config, name) % part.parts:
                raise ManifestError(
                    f"{part.parts} processes cannot share data.{name}={getattr(config, name)} evenly; "
                    f"--set data.{name} to a multiple"
                )
        self._part = part
        self._pairs = pairs
        self._split = split
        self._config = config
        self._seed = seed
        self._levels = levels
        self._steps = steps
        self.per_step = config.accumulate
        self._rows_of = TextRowsOf(pairs.text_table)

    def __len__(self) -> int:
        return self._steps * self.per_step

    def __getitem__(self, number: int) -> SemiBatch:
        labelled = self._draw(self._split.labelled, self._config.labelled_scans, _LABELLED, number)
        unlabelled = self._draw(self._split.unlabelled, self._config.unlabelled_scans, _UNLABELLED, number)
        drawn = (*labelled, *unlabelled)
        slots = range(self._part.index, len(drawn), self._part.parts)
        clouds = [self._cloud(drawn[slot], slot < len(labelled), number, slot) for slot in slots]
        of_scans = [sector.scan.pairs for cloud in clouds for sector in cloud]
        texts, image_slots, phrase_slots = self._rows_of.batch(of_scans)
        phrases = torch.from_numpy(self._rows_of.phrases(of_scans))
        of_sectors = zip(image_slots, phrase_slots)
        parts = [
            self._voxel_scan(one_cloud(cloud, of_sectors), slot < len(labelled), number, slot)
            for slot, cloud in zip(slots, clouds)
        ]
        counts = torch.tensor([len(part.features) for part in parts])
        of_scan = torch.repeat_interleave(torch.tensor(slots), counts)
        entity = torch.cat([part.entity for part in parts])
        return SemiBatch(
            features=torch.cat([part.features for part in parts]),
            pyramid=build_pyramid(collate([part.voxels.coords for part in parts]), self._levels),
            labels=torch.cat([part.labels for part in parts]),
            is_labelled=of_scan < len(labelled),
            scan=of_scan,
            image=torch.cat([part.image for part in parts]),
            entity=entity,
            phrase=torch.nn.functional.pad(phrases, (0, 1), value=NONE)[entity],
            texts=texts,
        )

    def _draw(self, scan_ids: Sequence[str], count: int, purpose: int, number: int) -> list[str]:
        """`count` scans for a micro-batch: the scans in a shuffled order, then in another, and so on."""
        if not scan_ids:
            return []
        return [self._nth(scan_ids, number * count + slot, purpose) for slot in range(count)]

    def _nth(self, scan_ids: Sequence[str], draw: int, purpose: int) -> str:
        cycle, place = divmod(draw, len(scan_ids))
        return scan_ids[_order(self._seed, purpose, cycle, len(scan_ids))[place]]

    def _cloud(self, scan_id: str, is_labelled: bool, number: int, slot: int) -> list[Sector]:
        """What fills a slot of micro-batch `number`: a scan, or what cameras saw of several."""
        scan = self._read(scan_id, is_labelled)
        if is_labelled or not self._config.panorama:
            return [Sector.whole(scan)]
        rng = np.random.default_rng((self._seed, _PANORAMA, number, slot))
        order = rng.permutation(len(self._split.unlabelled))
        return panorama(scan, (self._read(self._split.unlabelled[place], False) for place in order))

    def _read(self, scan_id: str, is_labelled: bool) -> PairedScan:
        stress = self._config.stress
        share = stress.of_labelled() if is_labelled else stress.misnamed
        return misnamed(self._pairs.read(scan_id), share, self._pairs.text_table.phrases, self._seed)

    def _voxel_scan(self, cloud: SectorCloud, is_labelled: bool, number: int, slot: int) -> VoxelScan:
        """One cloud, augmented and voxelised."""
        augment = self._config.augment
        rng = np.random.default_rng((self._seed, _LABELLED if is_labelled else _UNLABELLED, number, slot))
        keep = keep_indices(cloud.points, augment, rng)
        points = to_corner(augmented(cloud.points[keep], augment, rng), self._config)
        features = shift_features(cloud.features[keep], augment, rng)
        voxels = voxelise(torch.from_numpy(points), self._config.voxel_m)
        labels = labels_or_ignore(cloud.labels if is_labelled else None, len(cloud.points))[keep]
        return VoxelScan(
            voxels,
            voxel_features(points, features, voxels),
            majority_label(torch.from_numpy(labels.astype(np.int64)), voxels, self._pairs.num_classes),
            first_valid(torch.from_numpy(cloud.image[keep]), voxels),
            first_valid(torch.from_numpy(cloud.entity[keep]), voxels),
        )


@lru_cache(maxsize=4)
def _order(seed: int, purpose: int, cycle: int, count: int) -> np.ndarray:
    """The order (count,) int64 of the scans in one cycle. Remembered: a whole epoch draws from one or two."""
    return np.random.default_rng((seed, _ORDER, purpose, cycle)).permutation(count)


def to_corner(points: np.ndarray, config: DataConfig) -> np.ndarray:
    """points (N,3) metres where the network sees them: as they are, or from the scan's own corner on."""
    return points - points.min(axis=0) if config.from_corner and len(points) else points


def voxel_features(points: np.ndarray, features: np.ndarray, voxels: Voxels) -> Tensor:
    """What the network sees of a voxel: mean position in metres and mean features of its points, (M,3+F).

    points (N,3) float32 metres, features (N,F) of any floating type.
    """
    columns = np.concatenate([points, features.astype(np.float32)], axis=1)
    return mean_by_voxel(torch.from_numpy(columns), voxels)


def batch_loader(batches: StepBatches, first: int, workers: int, pinned: bool = False) -> Iterator[SemiBatch]:
    """The micro-batches from step `first` on, in order, built ahead by `workers` processes.

    pinned: in memory that a GPU reads by itself, so that the copy runs beside the work; torch's loader then
    has a thread that receives batches, which is `prefetch`'s otherwise. The workers live as long as the run:
    it is one pass through the loader.
    """
    numbers = range(first * batches.per_step, len(batches))
    made = iter(DataLoader(batches, batch_size=None, sampler=numbers, num_workers=workers, pin_memory=pinned))
    return prefetch(made) if workers and not pinned else made


@dataclass(frozen=True)
class EvaluationScan:
    """A scan as it is evaluated: unaltered. inverse (N,) int64: point -> voxel. labels (N,) uint8."""

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
    """`scan` voxelised, every point of it, without augmentation."""
    points = to_corner(scan.points, config)
    voxels = voxelise(torch.from_numpy(points), config.voxel_m)
    return EvaluationScan(
        scan_id=scan.scan_id,
        features=voxel_features(points, scan.features, voxels),
        pyramid=build_pyramid(collate([voxels.coords]), levels),
        inverse=voxels.inverse,
        labels=labels_or_ignore(scan.labels, len(scan.points)),
    )


def scan_loader(scans: EvaluationScans, workers: int) -> Iterator[EvaluationScan]:
    """Every scan of `scans` in order, built ahead by `workers` processes."""
    return iter(DataLoader(scans, batch_size=None, num_workers=workers))
