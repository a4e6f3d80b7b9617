"""Readers of data sets, one folder each, behind one contract that the rest of the code uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from lass3d_core import plugins
from lass3d_core.clouds.headerless_look import other_layout
from lass3d_core.errors import DataError, UnknownName, reading
from lass3d_core.files.images import image_size
from lass3d_core.files.names import is_plain, is_plain_path
from lass3d_core.files.text_lines import at, text_lines
from lass3d_core.labels import AbsentClasses, LabelSpace, own_label_space
from lass3d_core.manifest.schema import READERS, DatasetSpec, SplitSpec
from lass3d_core.records import FilePart, ImageFile, Scan, View


@dataclass(frozen=True)
class ScanFiles:
    """The files from which one scan is read, so that a stage can fingerprint exactly what it reads."""

    points: tuple[FilePart, ...]  # the files of points, features, labels (if any), cameras and depth images
    images: tuple[FilePart, ...]  # those of `images`, in its order
    labels: FilePart | None = None  # the one of `points` that holds the labels alone; None if there is none
    poses: FilePart | None = None  # for `world_from_points`; None if the reader has none


@dataclass(frozen=True)
class Block:
    """A unit of work: scans of one sequence or scene. name ("00-003") is unique in the data set."""

    name: str
    split: str
    scan_ids: tuple[str, ...]


class Dataset(ABC):
    """A data set. Every method raises DataError if a file is missing or wrong.

    official: the classes of the layout, if it has any. label_space: the classes in use.
    """

    official: ClassVar[LabelSpace | None] = None
    feature_names: tuple[str, ...]

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        self.label_space = own_label_space(spec.classes, self.official)
        self._splits = names_of(spec.splits)
        self._scratch = scratch

    def scan_ids(self, split: str) -> tuple[str, ...]:
        """The scans of `train`, `val` or `test`, in ascending order. Raises UnknownName."""
        return tuple(scan_id for scan_ids in self._scans_of(split).values() for scan_id in scan_ids)

    def blocks(self, split: str, size: int) -> list[Block]:
        """Divide the scans of `split` into blocks of at most `size` scans, each from one sequence."""
        return cut_blocks(split, self._scans_of(split), size)

    @abstractmethod
    def read_scan(self, scan_id: str) -> Scan:
        """Read points, features, labels and views of one scan."""

    @abstractmethod
    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        """The images that one scan should have; none if it has no camera. They need not exist.

        No file is opened and no calibration is read: captions need neither.
        """

    @abstractmethod
    def views(self, scan_id: str) -> tuple[View, ...]:
        """Read the views of one scan; points and labels are not read.

        An image that is missing or unreadable is no view. The captions have counted and named it.
        """

    @abstractmethod
    def input_files(self, scan_id: str) -> ScanFiles:
        """The files that `read_scan` reads. They need not exist."""

    def scans_before(self, scan_id: str, count: int) -> tuple[str, ...]:
        """Up to `count` scans before this one in its sequence, the latest first; none without poses."""
        return ()

    def scans_after(self, scan_id: str, count: int) -> tuple[str, ...]:
        """Up to `count` scans after this one in its sequence, the next first; none without poses."""
        return ()

    def world_from_points(self, scan_id: str) -> np.ndarray:
        """The pose (4,4) float64 of a scan: from its points to a frame of the sequence, metres.

        Without poses: of a sequence of this scan alone.
        """
        return np.eye(4)

    def views_before(self, scan_id: str, count: int) -> tuple[tuple[View, ...], ...]:
        """The views of each scan in `scans_before`. Their cameras take points of this scan."""
        return ()

    @abstractmethod
    def _scans_in(self, sequence: str, split: str) -> Sequence[str]:
        """The scans of a sequence of `split`, ascending. Raises DataError if it is not there."""

    def _scans_of(self, split: str) -> dict[str, Sequence[str]]:
        """Sequence -> its scan ids, ascending."""
        if split not in self._splits:
            raise UnknownName(f"there is no split {split!r} (known: {', '.join(self._splits)})")
        found = {sequence: self._scans_in(sequence, split) for sequence in sorted(self._splits[split])}
        for scan_id in (scan_id for scan_ids in found.values() for scan_id in scan_ids):
            if not is_plain_path(scan_id):  # it becomes part of paths, and the reader of shards asks for it
                what = f"split {split!r} holds the scan {scan_id[:120]!r}, whose name no artifact can have"
                raise DataError(f"{what}; rename its files: 1 to 100 letters, digits, _, - and .")
        return found


def readable(images: Sequence[ImageFile]) -> Iterator[tuple[ImageFile, tuple[int, int]]]:
    """The images whose header can be read, each with its size_hw."""
    for one in images:
        with suppress(DataError):
            yield one, image_size(one.image)


class Submission(ABC):
    """The file format of a benchmark's submissions. It needs no data set.

    official: the benchmark's classes. label_space: the classes in use.
    absent: how the official evaluator's mean counts a class with no true and no predicted point.
    """

    official: ClassVar[LabelSpace | None] = None
    absent: AbsentClasses

    def __init__(self, spec: DatasetSpec) -> None:
        self.label_space = own_label_space(spec.classes, self.official)
        self._version = spec.version

    @abstractmethod
    def file(self, split: str, scan_id: str) -> PurePosixPath:
        """The file for the predictions of one scan, below the submission's folder."""

    @abstractmethod
    def encode(self, train_ids: np.ndarray) -> bytes:
        """The file's content for predictions (N,) uint8, in the order of the scan's points."""

    @abstractmethod
    def decode(self, content: bytes, where: str) -> np.ndarray:
        """The train ids (N,) uint8 in a file, as the official tool reads it. Raises DataError."""

    def further_files(self, split: str) -> dict[PurePosixPath, bytes]:
        """Other files of the submission (nuScenes: submission.json): path -> content."""
        return {}


def open_dataset(spec: DatasetSpec, scratch: Path | None = None) -> Dataset:
    """Open a data set. scratch: a folder for an index of large tables, which else are read each time."""
    dataset: Dataset = _module_of(spec.reader).DATASET(spec, scratch)
    return dataset


def submission_of(spec: DatasetSpec) -> Submission:
    """The submission format of a data set's benchmark; of classes of one's own, the plain one."""
    reader = "plain" if spec.classes.ids else spec.reader
    submission: Submission = _module_of(reader).SUBMISSION(spec)
    return submission


def _module_of(reader: str) -> Any:
    """The module with DATASET and SUBMISSION: ours, or one that another package brings."""
    if reader not in READERS:
        return plugins.load("readers", reader)
    return import_module(f"{__name__}.{reader}.reader")


def names_of(splits: SplitSpec) -> dict[str, tuple[str, ...]]:
    """Split -> its sequences or scenes. An entry that ends in .txt is a file that lists them, one per line.

    Raises DataError if a list cannot be read or is empty, or if a name occurs twice.
    """
    named = {"train": splits.train, "val": splits.val, "test": splits.test}
    found: dict[str, tuple[str, ...]] = {}
    first: dict[str, str] = {}  # name -> where it stands
    for split, entries in named.items():
        listed = list(_listed(split, entries))
        for name, where in listed:
            if not is_plain(name):
                what = f"{where}: {name[:100]!r} cannot name a sequence or scene"
                raise DataError(f"{what}; letters, digits, _, - and . can")
            if name in first:
                both = f"{where} names {name}, as does {first[name]}"
                raise DataError(f"{both}; a name belongs to one split, once")
            first[name] = where
        found[split] = tuple(name for name, _ in listed)
    return found


def _listed(split: str, entries: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names of a split, each with where it stands."""
    for entry in entries:
        if not entry.endswith(".txt"):
            yield entry, f"splits.{split}"
            continue
        path = Path(entry)
        lines = text_lines(path, f"mend splits.{split} in the manifest")
        if not lines:
            raise DataError(f"splits.{split}: the list {path} is empty; copy it again")
        for line in lines:
            for name in line.text.split():
                yield name, at(path, line)


def cut_blocks(split: str, scans_of: Mapping[str, Sequence[str]], size: int) -> list[Block]:
    """Divide the scans of each sequence into blocks of at most `size`, named by number ("00-000")."""
    return [
        Block(f"{sequence}-{number:03d}", split, tuple(scan_ids[start : start + size]))
        for sequence, scan_ids in scans_of.items()
        for number, start in enumerate(range(0, len(scan_ids), size))
    ]


def read_sweep(path: Path, columns: int, mend: str = "copy the data set's own file again") -> np.ndarray:
    """Read x, y, z, intensity (N,4) float32 of a LiDAR scan, metres in the LiDAR frame.

    columns: float32 numbers per point in the file, of which the first four are read.
    mend: what to do with a file of another layout, which is refused, see clouds/headerless_look.py.
    Raises DataError.
    """
    with reading(path):
        content = path.read_bytes()
    looks = other_layout(content, columns)
    if looks:
        raise DataError(f"{path} looks like {looks}, not like rows of {columns} float32; {mend}")
    if len(content) % (4 * columns):
        size = f"{len(content)} bytes are not a multiple of {4 * columns}"
        raise DataError(f"{path} is cut off: {size}; copy it again")
    values = np.frombuffer(content, "<f4").reshape(-1, columns)[:, :4]
    if not len(values):
        raise DataError(f"{path} is empty; copy it again")
    bad = int(np.count_nonzero(~np.isfinite(values).all(axis=1)))
    if bad:
        found = f"{bad} of {len(values)} points with NaN or infinity"
        raise DataError(f"{path} has {found}; copy it again or mend it")
    return values
