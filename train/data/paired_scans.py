"""All that the trainer reads of a data set: the pair shards, their index and the table of text rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import canonical_json, digest
from lass3d_core.files.pair_index import PairIndex, read_index
from lass3d_core.files.shards import ShardHeader, ShardReader, ShardsByScan
from lass3d_core.files.splits import LabelledSplit, labelled_split
from lass3d_core.files.text_rows import TextRowsFile
from lass3d_core.files.text_table import TEXT_TABLE, read_text_table_record
from lass3d_core.manifest.schema import LabelledSpec
from lass3d_core.records import PairedScan
from lass3d_core.settings import to_json


@dataclass(frozen=True)
class PairedScans:
    """The pairs of one data set. Shards are opened when they are read, in each loader worker anew.

    header: that of the first shard; classes, colours and features are the same in all. splits: split -> its
    scan ids, in the order of the data set.
    """

    folder: Path
    index: PairIndex
    header: ShardHeader
    splits: dict[str, tuple[str, ...]]
    _shard_of: ShardsByScan

    @classmethod
    def open(cls, folder: Path) -> PairedScans:
        """The pairs below `folder`, artifacts/<dataset>. Every shard's header is compared with the index.

        Raises MissingArtifact, StaleArtifact, CorruptArtifact.
        """
        index = read_index(folder / "pairs")
        splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        shard_of, first = ShardsByScan(), None
        for shard in tqdm(index.shards, desc="opening shards", unit="shard", leave=False, delay=2):
            reader = ShardReader(folder / "pairs" / shard.file)
            header = _checked_header(reader, shard.fingerprint)
            first = first or header
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
    def digest(self) -> str:
        """Of everything that training reads: pairs, labels and text rows."""
        content = {
            "index": to_json(self.index),
            "texts": digest(read_text_table_record(self.folder / TEXT_TABLE)),
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.header.class_names)

    @property
    def in_channels(self) -> int:
        """Features of a voxel: x, y, z and those of the points."""
        return 3 + len(self.header.feature_names)

    def read(self, scan_id: str) -> PairedScan:
        """One scan, its checksums verified. Raises CorruptArtifact, MissingArtifact."""
        return self._shard_of[scan_id].read(scan_id)

    def block(self, scan_id: str) -> str:
        """The block that a scan belongs to: its shards of captions and entities have this name too."""
        return self._shard_of[scan_id].path.stem

    def point_count(self, scan_id: str) -> int:
        """Number of points of one scan; nothing else is read."""
        return self._shard_of[scan_id].point_count(scan_id)

    @cached_property
    def text_table(self) -> TextRowsFile:
        """The table of text rows; opened at its first read."""
        return TextRowsFile(self.folder / TEXT_TABLE)

    def labelled_scans(self, split: str) -> tuple[str, ...]:
        """The scans of `split` that have labels: those that can be evaluated."""
        return self._labelled[split]

    def labelled_split(self, spec: LabelledSpec, ratio: float, seed: int) -> LabelledSplit:
        """Which training scans keep their labels. Raises DataError for a ratio or a list that is wrong."""
        without = set(self.splits["train"]) - set(self.labelled_scans("train"))
        return labelled_split(spec, self.splits["train"], ratio, seed, without)

    def points_per_class(self, scan_ids: Iterable[str]) -> np.ndarray:
        """Labelled points (C,) int64 of each class in these scans."""
        counts = np.zeros(256, np.int64)
        for scan_id in scan_ids:
            labels = self._shard_of[scan_id].labels(scan_id)
            if labels is not None:
                counts += np.bincount(labels, minlength=256)
        return counts[: self.num_classes]

    @cached_property
    def _labelled(self) -> dict[str, tuple[str, ...]]:
        return {
            split: tuple(scan_id for scan_id in scan_ids if self._shard_of[scan_id].has_labels(scan_id))
            for split, scan_ids in self.splits.items()
        }


def _checked_header(reader: ShardReader, fingerprint: str) -> ShardHeader:
    header = reader.header
    if header.fingerprint != fingerprint:
        raise StaleArtifact(f'{reader.path} is not the shard that the index names; run "make pairs"')
    return header


def class_weights(counts: np.ndarray) -> np.ndarray:
    """1 / sqrt(frequency) of each class, (C,) float32, with mean 1 over the classes that occur; the others 1.

    counts (C,): labelled points of each class. Raises CorruptArtifact where there is none at all.
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
