"""Training batches: shards in, augmented and voxelised scans with their texts out, for any data set.

A step takes `accumulate` micro-batches. Micro-batch t, counted over the whole run, is a pure function of
(seed, t): the number of workers, their order and a restart do not change it.
Letters: N points of a scan, M voxels of the batch, F input features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lass3d_core.errors import ManifestError
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from lass3d_core.sparse.maps import build_pyramid, unbuilt_pyramid
from lass3d_core.sparse.voxel_inputs import voxel_inputs
from lass3d_core.sparse.voxels import collate, first_valid, majority_label
from train.config import DataConfig
from train.data.augment import augmented, keep_indices, shift_features
from train.data.loading import built_ahead
from train.data.paired_scans import PairedScans
from train.data.panorama import panorama
from train.data.text_batches import TextRowsOf
from train.data.voxel_votes import voxel_votes
from train.methods.contract import BatchCounts, SemiBatch
from train.methods.parts.votes import PhraseVotes

# The purpose is part of a generator's seed, so that two purposes never share a random stream.
_LABELLED, _UNLABELLED, _ORDER, _PANORAMA = 0, 1, 2, 3


@dataclass(frozen=True)
class RankShare:
    """The scans of a micro-batch that this process builds: slots index, index + parts, ..."""

    index: int
    parts: int


WHOLE = RankShare(0, 1)


@dataclass(eq=False)
class StepBatches(Dataset[SemiBatch]):
    """Item t is micro-batch t. Step s takes the items from s * accumulate on.

    Raises ManifestError if the processes cannot share the scans evenly.
    """

    pairs: PairedScans
    split: LabelledSplit
    config: DataConfig
    seed: int
    levels: int  # of the kernel maps that the backbone needs
    steps: int  # of the optimiser
    part: RankShare = WHOLE  # this process's share of every micro-batch
    for_gpu: bool = (
        False  # the batches are small: no kernel maps, indices of int32; SemiBatch.to adds the rest
    )

    def __post_init__(self) -> None:
        for name in ("labelled_scans", "unlabelled_scans"):
            if getattr(self.config, name) % self.part.parts:
                raise ManifestError(
                    f"{self.part.parts} processes cannot share data.{name}={getattr(self.config, name)} "
                    f"evenly; --set data.{name} to a multiple"
                )
        self._rows_of = TextRowsOf(self.pairs.text_table)

    def __len__(self) -> int:
        return self.steps * self.config.accumulate

    def __getitem__(self, number: int) -> SemiBatch:
        labelled = self._draw(self.split.labelled, self.config.labelled_scans, _LABELLED, number)
        unlabelled = self._draw(self.split.unlabelled, self.config.unlabelled_scans, _UNLABELLED, number)
        drawn = (*labelled, *unlabelled)
        slots = range(self.part.index, len(drawn), self.part.parts)
        is_labelled = [slot < len(labelled) for slot in slots]
        scans = [self._scan(drawn[slot], known, number, slot) for slot, known in zip(slots, is_labelled)]
        found = self._rows_of.batch([scan.pairs for scan in scans])
        of_scans = zip(scans, found.image, found.phrase, is_labelled, slots)
        parts = [self._voxel_scan(*of_scan, number) for of_scan in of_scans]
        coords, *columns, votes = zip(*parts)
        features, labels, image = map(torch.cat, columns)
        of_batch = PhraseVotes.cat(votes)
        of_slot = torch.repeat_interleave(torch.tensor(slots), torch.tensor(list(map(len, coords))))
        make_pyramid = unbuilt_pyramid if self.for_gpu else build_pyramid
        table_rows = torch.from_numpy(np.append(found.table_rows, NONE))  # index NONE (-1) gives NONE
        batch = SemiBatch(
            features=features,
            pyramid=make_pyramid(collate(coords), self.levels, self._apart(sum(is_labelled), len(slots))),
            labels=labels,
            is_labelled=of_slot < len(labelled),
            scan=of_slot,
            image=image,
            entity=of_batch.strongest,
            votes=replace(of_batch, phrase=table_rows[of_batch.phrase]),
            texts=found.texts,
            counts=BatchCounts.of(
                of_slot,
                of_slot < len(labelled),
                image,
                of_batch.strongest,
                len(found.texts.image_pooled),
            ),
        )
        return batch.narrowed() if self.for_gpu else batch

    def _apart(self, labelled: int, scans: int) -> int | None:
        """How many scans of the batch batch norm keeps apart from the rest; None if all are of one kind."""
        return labelled if self.config.kinds_apart and 0 < labelled < scans else None

    def _draw(self, scan_ids: Sequence[str], count: int, purpose: int, number: int) -> list[str]:
        """`count` scans for a micro-batch: all scans in a shuffled order, then in another one, and so on."""
        size = len(scan_ids)
        draws = [divmod(number * count + slot, size) for slot in range(count if size else 0)]
        return [scan_ids[_order(self.seed, purpose, cycle, size)[place]] for cycle, place in draws]

    def _scan(self, scan_id: str, is_labelled: bool, number: int, slot: int) -> PairedScan:
        """The scan for a slot of micro-batch `number`, or the panorama that begins with it."""
        scan = self.pairs.read(scan_id)
        if is_labelled or not self.config.panorama:
            return scan
        rng = np.random.default_rng((self.seed, _PANORAMA, number, slot))
        order = rng.permutation(len(self.split.unlabelled))
        return panorama(scan, (self.pairs.read(self.split.unlabelled[place]) for place in order))

    def _voxel_scan(
        self,
        scan: PairedScan,
        image: np.ndarray,
        phrase: np.ndarray,
        is_labelled: bool,
        slot: int,
        number: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, PhraseVotes]:
        """`scan` augmented and voxelised. image (N,), phrase (N,K) int64: slots of the batch's texts.

        Returns coords (M,3) int32, features (M,F) float32; labels, image (M,) int64; votes with the slots of
        the batch: see SemiBatch.
        """
        augment = self.config.augment
        rng = np.random.default_rng((self.seed, _LABELLED if is_labelled else _UNLABELLED, number, slot))
        keep = keep_indices(scan.points, augment, rng)
        points = augmented(scan.points[keep], augment, rng)
        shifted = shift_features(scan.features[keep], augment, rng)
        voxels, features = voxel_inputs(points, shifted, self.config.voxel_m, self.config.from_corner)
        labels = labels_or_ignore(scan.labels if is_labelled else None, len(scan.points))[keep]
        return (
            voxels.coords,
            features,
            majority_label(torch.from_numpy(labels.astype(np.int64)), voxels, self.pairs.num_classes),
            first_valid(torch.from_numpy(image[keep]), voxels),
            voxel_votes(scan, phrase, keep, voxels),
        )


@lru_cache(maxsize=4)  # an epoch draws from one or two orders
def _order(seed: int, purpose: int, cycle: int, count: int) -> np.ndarray:
    """The order of the scans in one cycle, (count,) int64."""
    return np.random.default_rng((seed, _ORDER, purpose, cycle)).permutation(count)


def batch_loader(batches: StepBatches, first: int, workers: int, pinned: bool = False) -> Iterator[SemiBatch]:
    """The micro-batches from step `first` on, in order. `workers` processes build them in advance.

    pinned: put them in page-locked memory, so that the copy to a GPU runs beside the computation.
    Raises as `built_ahead` does.
    """
    numbers = range(first * batches.config.accumulate, len(batches))
    # One pass through one loader for the whole run: the workers are started once.
    made = built_ahead(batches, numbers, workers, pinned)
    # With `pinned`, torch's loader fetches the batches in a thread already.
    return prefetch(made) if workers and not pinned else made


def prefetch(items: Iterator[SemiBatch]) -> Iterator[SemiBatch]:
    """Yield `items` unchanged, while a thread fetches the next one. An error of `items` is raised here.

    A batch travels from a loader's worker by several messages over a socket, while the worker builds the
    next batch. That takes milliseconds, in which training would stand still unless it asks early.
    """
    with ThreadPoolExecutor(1, "prefetch") as thread:
        end = object()
        coming: Future[Any] = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item
