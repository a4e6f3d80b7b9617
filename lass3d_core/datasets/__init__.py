"""Data sets on disk behind one contract: each reader is one file, and nobody downstream asks which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lass3d_core.errors import UnknownName
from lass3d_core.labels import LabelSpace
from lass3d_core.manifest import DatasetSpec
from lass3d_core.records import Scan, View


@dataclass(frozen=True)
class ScanFiles:
    """The files that one scan is read from, so that a stage can fingerprint exactly what it reads.

    points: what points, features, labels and cameras come from (a scan without labels has no label file
    here). images: one per view, in the order of the views.
    """

    points: tuple[Path, ...]
    images: tuple[Path, ...]


@dataclass(frozen=True)
class Block:
    """A unit of work: some scans of one sequence or scene. name ("00-003") is unique in the data set."""

    name: str
    split: str
    scan_ids: tuple[str, ...]


class Dataset(Protocol):
    """What preprocess asks of a data set. Every method raises DataError where a file is missing or wrong."""

    label_space: LabelSpace
    feature_names: tuple[str, ...]

    def scan_ids(self, split: str) -> tuple[str, ...]:
        """The scans of `train`, `val` or `test`, in ascending order. Raises UnknownName for another split."""

    def blocks(self, split: str, size: int) -> list[Block]:
        """The scans of `split` cut into blocks of at most `size`, none across two sequences."""

    def read_scan(self, scan_id: str) -> Scan:
        """Points, features, labels and views of one scan."""

    def views(self, scan_id: str) -> tuple[View, ...]:
        """The views of one scan; points and labels are not read."""

    def input_files(self, scan_id: str) -> ScanFiles:
        """The files that `read_scan` reads; they need not exist."""


def open_dataset(name: str, spec: DatasetSpec) -> Dataset:
    """The data set `name` of the manifest. Raises UnknownName."""
    match spec.reader:
        case "semantickitti":
            from lass3d_core.datasets.semantickitti import SemanticKitti

            return SemanticKitti(spec)
    raise UnknownName(f"datasets.{name}.reader: there is no reader {spec.reader!r} (known: semantickitti)")


def cut_blocks(split: str, scans_of: Mapping[str, Sequence[str]], size: int) -> list[Block]:
    """Sequence -> its scans, cut into blocks of at most `size`, named by sequence and number: "00-000"."""
    return [
        Block(f"{sequence}-{number:03d}", split, tuple(scan_ids[start : start + size]))
        for sequence, scan_ids in scans_of.items()
        for number, start in enumerate(range(0, len(scan_ids), size))
    ]
