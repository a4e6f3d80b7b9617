"""The trainer's data: pair shards, their index, and the table of text rows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import canonical_json, digest
from lass3d_core.files.pair_index import PairIndex, read_index
from lass3d_core.files.shards import ShardHeader, ShardReader, ShardsByScan
from lass3d_core.files.splits import LabelledSplit, labelled_split
from lass3d_core.files.text_table import TEXT_TABLE, TextRowsFile, read_text_table_record
from lass3d_core.manifest.schema import LabelledSpec
from lass3d_core.progress.bars import progress_bar
from lass3d_core.records import NONE, PairedScan
from lass3d_core.settings import to_json


@dataclass(frozen=True)
class PairedScans:
    """The paired scans of one data set. A shard is opened at its first read, in each loader worker anew.

    header: of the first shard. Classes, colours and features are the same in all shards.
    splits: split -> its scan ids, in the order of the data set.
    """

    folder: Path
    index: PairIndex
    header: ShardHeader
    splits: dict[str, tuple[str, ...]]
    _shard_of: ShardsByScan

    @classmethod
    def open(cls, folder: Path) -> PairedScans:
        """The paired scans below `folder`, artifacts/<dataset>. Compares every shard with the index.

        Raises MissingArtifact, StaleArtifact, CorruptArtifact.
        """
        index = read_index(folder / "pairs")
        splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        shard_of, first = ShardsByScan(), None
        for shard in progress_bar(index.shards, desc="opening shards", unit="shard", leave=False, delay=2):
            reader = ShardReader(folder / "pairs" / shard.file)
            if reader.header.fingerprint != shard.fingerprint:
                raise StaleArtifact(f'{reader.path} is not the shard that the index names; run "make pairs"')
            first = first or reader.header
            splits[shard.split] += reader.scan_ids
            shard_of.add(reader, reader.scan_ids)
            reader.close()
        if first is None or not splits["train"]:
            raise MissingArtifact(
                f'{folder / "pairs"} holds no training scan; check `splits` and run "make pairs"'
            )
        in_order = {split: tuple(scan_ids) for split, scan_ids in splits.items()}
        return cls(folder, index, first, in_order, shard_of)

    @cached_property
    def training_digest(self) -> str:
        """A digest of the training shards. Scans of other splits do not change it."""
        content = {
            "classes": self.header.class_names,
            "features": self.header.feature_names,
            "shards": [to_json(shard) for shard in self.index.shards if shard.split == "train"],
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    @cached_property
    def text_digest(self) -> str:
        """A digest of what the text table was made from. Raises MissingArtifact, CorruptArtifact."""
        return digest(read_text_table_record(self.folder / TEXT_TABLE))

    @cached_property
    def scans_with_text(self) -> tuple[str, ...]:
        """The training scans of which a point has a phrase, or an image with a caption.

        Raises MissingArtifact, StaleArtifact, CorruptArtifact.
        """
        table = self.text_table
        captioned = {name for name, one in zip(table.image_ids, table.image_caption.tolist()) if one != NONE}
        none_failed = len(captioned) == len(table.image_ids)
        return tuple(one for one in self.splits["train"] if self._has_text(one, captioned, none_failed))

    def _has_text(self, scan_id: str, captioned: Collection[str], none_failed: bool) -> bool:
        shard = self._shard_of[scan_id]
        counts = shard.counts[scan_id]
        if counts.points_with_phrase or not counts.points_in_image:
            return counts.points_with_phrase > 0
        return none_failed or any(image_id in captioned for image_id in shard.image_ids(scan_id))

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.header.class_names)

    @property
    def in_channels(self) -> int:
        """The number of input features of a voxel: x, y, z and the features of the points."""
        return 3 + len(self.header.feature_names)

    def read(self, scan_id: str) -> PairedScan:
        """One scan, with its checksums verified. Raises CorruptArtifact, MissingArtifact."""
        return self._shard_of[scan_id].read(scan_id)

    def block(self, scan_id: str) -> str:
        """The block of a scan. The shards of captions and entities of the same scans have this name too."""
        return self._shard_of[scan_id].path.stem

    def point_count(self, scan_id: str) -> int:
        """The number of points of one scan. Reads nothing else."""
        return self._shard_of[scan_id].point_count(scan_id)

    @cached_property
    def text_table(self) -> TextRowsFile:
        """The table of text rows, opened at its first read."""
        return TextRowsFile(self.folder / TEXT_TABLE)

    def labelled_scans(self, split: str) -> tuple[str, ...]:
        """The scans of `split` that have labels and can be evaluated."""
        return self._labelled[split]

    def has_classes(self, scan_ids: Iterable[str]) -> bool:
        """Whether any point of these scans has a class. Reads no further than the first such scan."""
        return any(self.points_per_class([scan_id]).any() for scan_id in scan_ids)

    def labelled_split(self, spec: LabelledSpec, ratio: float, seed: int) -> LabelledSplit:
        """Choose the training scans that keep their labels. Raises DataError for a wrong ratio or list."""
        without = set(self.splits["train"]) - set(self.labelled_scans("train"))
        return labelled_split(spec, self.splits["train"], ratio, seed, without)

    def points_per_class(self, scan_ids: Iterable[str]) -> np.ndarray:
        """The number of labelled points of each class in these scans, (C,) int64."""
        counts = np.zeros(256, np.int64)
        for scan_id in scan_ids:
            labels = self._shard_of[scan_id].labels(scan_id)
            if labels is not None:
                counts += np.bincount(labels, minlength=256)
        return counts[: self.num_classes]

    @cached_property
    def _labelled(self) -> dict[str, tuple[str, ...]]:
        return {
            split: tuple(one for one in scan_ids if self._shard_of[one].counts[one].has_labels)
            for split, scan_ids in self.splits.items()
        }


def class_weights(counts: np.ndarray) -> np.ndarray:
    """1 / sqrt(frequency) of each class, (C,) float32, scaled to mean 1 over the classes that occur.

    A class that does not occur has weight 1.
    counts (C,): labelled points of each class. Raises CorruptArtifact if all are 0.
    """
    occurs = counts > 0
    if not occurs.any():
        raise CorruptArtifact(
            "no point of the labelled scans has a class: every label is ignored; check the label files"
        )
    weights = np.ones(len(counts))
    weights[occurs] = (counts[occurs] / counts.sum()) ** -0.5
    weights[occurs] /= weights[occurs].mean()
    return weights.astype(np.float32)
