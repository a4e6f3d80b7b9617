"""Training batches: shards in, augmented and voxelised scans with their texts out, for any data set.

A step takes `accumulate` micro-batches. Micro-batch t, counted over the whole run, is a pure function of
(seed, t): the number of workers, their order and a restart do not change it.
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
from lass3d_core.sparse.maps import build_pyramid
from lass3d_core.sparse.voxels import collate, first_valid, majority_label
from train.config import DataConfig
from train.data.ahead import prefetch
from train.data.augment import augmented, keep_indices, shift_features
from train.data.paired_scans import PairedScans
from train.data.panorama import panorama
from train.data.text_batches import TextRowsOf
from train.data.voxel_inputs import voxel_inputs
from train.methods.contract import SemiBatch

# The purpose is part of a generator's seed, so that two purposes never share a random stream.
_LABELLED, _UNLABELLED, _ORDER, _PANORAMA = 0, 1, 2, 3


@dataclass(frozen=True)
class RankShare:
    """The scans of a micro-batch that this process builds: slots index, index + parts, ..."""

    index: int
    parts: int


WHOLE = RankShare(0, 1)


class StepBatches(Dataset[SemiBatch]):
    """Item t is micro-batch t. Step s takes the items from s * accumulate on."""

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
        """levels: of the kernel maps that the backbone needs.
        steps: of the optimiser.
        part: this process's share of every micro-batch.

        Raises ManifestError if the processes cannot share the scans evenly.
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
        is_labelled = [slot < len(labelled) for slot in slots]
        scans = [self._scan(drawn[slot], known, number, slot) for slot, known in zip(slots, is_labelled)]
        found = self._rows_of.batch([scan.pairs for scan in scans])
        parts = [
            self._voxel_scan(*of_scan, number)
            for of_scan in zip(scans, found.image, found.entity, is_labelled, slots)
        ]
        counts = torch.tensor([len(part.features) for part in parts])
        of_slot = torch.repeat_interleave(torch.tensor(slots), counts)
        entity = torch.cat([part.entity for part in parts])
        table_rows = torch.from_numpy(np.append(found.table_rows, NONE))  # index NONE (-1) gives NONE
        return SemiBatch(
            features=torch.cat([part.features for part in parts]),
            pyramid=build_pyramid(collate([part.coords for part in parts]), self._levels),
            labels=torch.cat([part.labels for part in parts]),
            is_labelled=of_slot < len(labelled),
            scan=of_slot,
            image=torch.cat([part.image for part in parts]),
            entity=entity,
            phrase=table_rows[entity],
            texts=found.texts,
        )

    def _draw(self, scan_ids: Sequence[str], count: int, purpose: int, number: int) -> list[str]:
        """`count` scans for a micro-batch: all scans in a shuffled order, then in another one, and so on."""
        if not scan_ids:
            return []
        return [self._nth(scan_ids, number * count + slot, purpose) for slot in range(count)]

    def _nth(self, scan_ids: Sequence[str], draw: int, purpose: int) -> str:
        cycle, place = divmod(draw, len(scan_ids))
        return scan_ids[_order(self._seed, purpose, cycle, len(scan_ids))[place]]

    def _scan(self, scan_id: str, is_labelled: bool, number: int, slot: int) -> PairedScan:
        """The scan for a slot of micro-batch `number`, or the panorama that begins with it."""
        scan = self._pairs.read(scan_id)
        if is_labelled or not self._config.panorama:
            return scan
        rng = np.random.default_rng((self._seed, _PANORAMA, number, slot))
        order = rng.permutation(len(self._split.unlabelled))
        return panorama(scan, (self._pairs.read(self._split.unlabelled[place]) for place in order))

    def _voxel_scan(
        self,
        scan: PairedScan,
        image: np.ndarray,
        entity: np.ndarray,
        is_labelled: bool,
        slot: int,
        number: int,
    ) -> _VoxelScan:
        """`scan` augmented and voxelised. image, entity (N,) int64: slots of the batch's texts."""
        augment = self._config.augment
        rng = np.random.default_rng((self._seed, _LABELLED if is_labelled else _UNLABELLED, number, slot))
        keep = keep_indices(scan.points, augment, rng)
        points = augmented(scan.points[keep], augment, rng)
        voxels, features = voxel_inputs(
            points, shift_features(scan.features[keep], augment, rng), self._config
        )
        labels = labels_or_ignore(scan.labels if is_labelled else None, len(scan.points))[keep]
        return _VoxelScan(
            voxels.coords,
            features,
            majority_label(torch.from_numpy(labels.astype(np.int64)), voxels, self._pairs.num_classes),
            first_valid(torch.from_numpy(image[keep]), voxels),
            first_valid(torch.from_numpy(entity[keep]), voxels),
        )


@dataclass(frozen=True)
class _VoxelScan:
    """One scan of a batch.

    coords (M,3) int32. features (M,F) float32. labels, image, entity (M,) int64: see SemiBatch.
    """

    coords: Tensor
    features: Tensor
    labels: Tensor
    image: Tensor
    entity: Tensor


@lru_cache(maxsize=4)  # an epoch draws from one or two orders
def _order(seed: int, purpose: int, cycle: int, count: int) -> np.ndarray:
    """The order of the scans in one cycle, (count,) int64."""
    return np.random.default_rng((seed, _ORDER, purpose, cycle)).permutation(count)


def batch_loader(batches: StepBatches, first: int, workers: int, pinned: bool = False) -> Iterator[SemiBatch]:
    """The micro-batches from step `first` on, in order. `workers` processes build them in advance.

    pinned: put them in page-locked memory, so that the copy to a GPU runs beside the computation.
    """
    numbers = range(first * batches.per_step, len(batches))
    # One pass through one loader for the whole run: the workers are started once.
    made = iter(DataLoader(batches, batch_size=None, sampler=numbers, num_workers=workers, pin_memory=pinned))
    # With `pinned`, torch's loader fetches the batches in a thread already.
    return prefetch(made) if workers and not pinned else made
