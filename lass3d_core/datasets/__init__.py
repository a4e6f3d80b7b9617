"""Data sets on disk behind one contract: each reader is one file, and nobody downstream asks which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from lass3d_core.errors import DataError, UnknownName
from lass3d_core.files.names import is_plain
from lass3d_core.labels import AbsentClasses, LabelSpace
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import FilePart, Scan, View


@dataclass(frozen=True)
class ScanFiles:
    """The files that one scan is read from, so that a stage can fingerprint exactly what it reads.

    points: what points, features, labels and cameras come from (a scan without labels has no label file
    here), and the depth images. images: one per view, in the order of the views. poses: what
    `views_before` reads beside the calibration; None where the reader knows no poses.
    """

    points: tuple[FilePart, ...]
    images: tuple[FilePart, ...]
    poses: FilePart | None = None


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

    def scans_before(self, scan_id: str, count: int) -> tuple[str, ...]:
        """Up to `count` scans before it in its sequence, the latest first; none where no poses are known."""

    def views_before(self, scan_id: str, count: int) -> tuple[tuple[View, ...], ...]:
        """The views of each of those scans, in that order; their cameras take the points of this one."""


class Submission(Protocol):
    """How a benchmark wants predictions handed in. Every reader's module has one; no data set is opened.

    label_space: the classes that it knows. absent: what a class that is neither true nor predicted counts in
    the mean of its official evaluator.
    """

    label_space: LabelSpace
    absent: AbsentClasses

    def file(self, split: str, scan_id: str) -> PurePosixPath:
        """Where the predictions of one scan go, below the folder that is handed in."""

    def encode(self, train_ids: np.ndarray) -> bytes:
        """That file's content for the predictions (N,) uint8 of the scan's points in raw order."""

    def decode(self, content: bytes, where: str) -> np.ndarray:
        """The train ids (N,) uint8 in such a file, as the official tool reads it. Raises DataError."""

    def further_files(self, split: str) -> dict[PurePosixPath, bytes]:
        """What else the benchmark wants beside them (nuScenes: submission.json)."""


def open_dataset(name: str, spec: DatasetSpec, scratch: Path | None = None) -> Dataset:
    """The data set `name` of the manifest. Raises UnknownName, DataError.

    scratch: a folder where a reader may keep an index of large tables; without one it reads them every time.
    """
    match spec.reader:
        case "semantickitti":
            from lass3d_core.datasets.semantickitti.reader import SemanticKitti

            return SemanticKitti(spec)
        case "scannet":
            from lass3d_core.datasets.scannet.reader import ScanNet

            return ScanNet(spec)
        case "nuscenes":
            from lass3d_core.datasets.nuscenes.reader import NuScenes

            return NuScenes(spec, scratch)
    raise UnknownName(f"datasets.{name}.reader: there is no reader {spec.reader!r}")


def submission_of(spec: DatasetSpec) -> Submission:
    """The benchmark format that belongs to a data set. Raises UnknownName."""
    match spec.reader:
        case "semantickitti":
            from lass3d_core.datasets.semantickitti.reader import SemanticKittiSubmission

            return SemanticKittiSubmission()
        case "scannet":
            from lass3d_core.datasets.scannet.reader import ScanNetSubmission

            return ScanNetSubmission()
        case "nuscenes":
            from lass3d_core.datasets.nuscenes.reader import NuScenesSubmission

            return NuScenesSubmission(spec.version)
    raise UnknownName(f"there is no submission format for the reader {spec.reader!r}")


def names_of(splits: SplitSpec) -> dict[str, tuple[str, ...]]:
    """Split -> its sequences or scenes: an entry that ends in .txt is a file that lists them, one a line.

    Raises DataError: a list that cannot be read or is empty, a name that stands twice.
    """
    named = {"train": splits.train, "val": splits.val, "test": splits.test}
    found = {split: tuple(_listed(entries)) for split, entries in named.items()}
    counts = Counter(name for names in found.values() for name in names)
    strange = sorted(name for name in counts if not is_plain(name))
    if strange:
        raise DataError(f"splits: {strange[0][:100]!r} is no name of a sequence or scene; mend the manifest")
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DataError(f"splits: {', '.join(twice[:3])} stands more than once; a name belongs to one split")
    return found


def _listed(entries: Sequence[str]) -> Iterator[str]:
    for entry in entries:
        if not entry.endswith(".txt"):
            yield entry
            continue
        try:
            names = Path(entry).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"splits: the list {entry} cannot be read: {error}; mend the manifest") from None
        if not names:
            raise DataError(f"splits: the list {entry} is empty; copy it again")
        yield from names


def cut_blocks(split: str, scans_of: Mapping[str, Sequence[str]], size: int) -> list[Block]:
    """Sequence -> its scans, cut into blocks of at most `size`, named by sequence and number: "00-000"."""
    return [
        Block(f"{sequence}-{number:03d}", split, tuple(scan_ids[start : start + size]))
        for sequence, scan_ids in scans_of.items()
        for number, start in enumerate(range(0, len(scan_ids), size))
    ]
