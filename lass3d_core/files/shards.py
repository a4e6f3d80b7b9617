"""Pair shards, schema 2: the scans that the trainer reads. `docs/formats.md` reads one with h5py alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from lass3d_core.errors import CorruptArtifact, DataError, UnknownName
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.coverage import ScanCounts
from lass3d_core.files.fingerprint import Record, as_record, canonical_json, digest
from lass3d_core.files.hdf5_reader import Hdf5Reader
from lass3d_core.files.hdf5_writer import create, text_array, write_array, write_attributes
from lass3d_core.files.json_files import parse_json
from lass3d_core.files.names import is_plain_path
from lass3d_core.records import PairedScan, PointTextPairs, PointVotes, check_array

SCHEMA = 2
KIND = "lass3d pairs"
_REMEDY = 'run "make pairs"'
_VOTES = ("phrase", "share", "score", "views")
_HEADER_TEXTS = ("dataset", "shard", "split", "producer", "class_names", "feature_names")

# What arrays and attributes of a wrong shape or type raise.
_OTHER_FORM = (DataError, TypeError, ValueError, LookupError)


@dataclass(frozen=True)
class ShardHeader:
    """The facts that are the same for every scan of a shard."""

    dataset: str
    shard: str
    split: str
    class_names: tuple[str, ...]  # one for each train id
    colours: tuple[tuple[int, int, int], ...]  # (r, g, b) for each train id
    raw_ids: tuple[int, ...]  # for a submission, one for each train id
    feature_names: tuple[str, ...]  # of the F columns of the features
    record: Record  # what the shard was made from
    producer: str  # name and version of the program that wrote it

    @property
    def fingerprint(self) -> str:
        """The digest of the record."""
        return digest(self.record)


def write_shard(path: Path, header: ShardHeader, scans: Iterable[PairedScan], compact: bool = False) -> None:
    """Write `scans`, in their order, as one shard. It is read back and compared before it gets its name.

    compact: compress with bitshuffle-LZ4: about half the size, a little slower to read.
    Raises StorageError, DataError (features beyond float16), CorruptArtifact (it reads back differently).
    """
    with atomic_write(path) as part:
        with create(part) as file:
            written, counts = list[tuple[str, int]](), list[ScanCounts]()
            for scan in scans:
                written.append((scan.scan_id, _write_scan(file, scan, compact)))
                counts.append(ScanCounts.of(scan))
            write_array(file, "scan_ids", text_array([scan_id for scan_id, _ in written]))
            write_array(file, "counts", np.array(counts, np.int64).reshape(-1, len(ScanCounts._fields)))
            write_array(file, "record", np.frombuffer(canonical_json(header.record).encode(), np.uint8))
            write_attributes(file, _attributes(header))
        reader = ShardReader(part)
        try:
            for scan_id, checksum in written:
                if _checksum(reader.read(scan_id)) != checksum:
                    raise CorruptArtifact(f"{path}: scan {scan_id} reads back differently; check the disk")
        finally:
            reader.close()


class ShardReader:
    """Reads one shard. The file is opened at the first read, and opened again in each worker process.

    Every method raises MissingArtifact, StaleArtifact or CorruptArtifact, which name file, scan and field.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Hdf5Reader(path, KIND, SCHEMA, _REMEDY)
        self.close = self._file.close  # a later read opens the file again

    @property
    def header(self) -> ShardHeader:
        """The facts that are the same for every scan."""
        file = self._file
        try:
            header = ShardHeader(
                **{name: file.attribute(name) for name in _HEADER_TEXTS},
                colours=tuple((int(r), int(g), int(b)) for r, g, b in file.attribute("colours")),
                raw_ids=tuple(int(raw) for raw in file.attribute("raw_ids")),
                record=as_record(parse_json(file.array("record").tobytes())),
            )
        except _OTHER_FORM as error:
            raise file.corrupt("its header", str(error)) from None
        if header.fingerprint != file.attribute("fingerprint"):
            raise file.corrupt("record", "it does not belong to the fingerprint")
        return header

    @cached_property
    def scan_ids(self) -> tuple[str, ...]:
        """The scans of the shard, in the order in which they were written."""
        scan_ids = self._file.texts("scan_ids")
        strange = [scan_id for scan_id in scan_ids if not is_plain_path(scan_id)]
        if strange:
            raise self._file.corrupt("scan_ids", f"{strange[0][:60]!r} is not the name of a scan")
        return scan_ids

    @cached_property
    def counts(self) -> dict[str, ScanCounts]:
        """What each scan has; no array of a scan is read."""
        found = self._file.array("counts")
        with self._file.checks("counts"):
            check_array(found, "counts", (len(self.scan_ids), len(ScanCounts._fields)), np.int64)
            if found.size and found.min() < 0:
                raise DataError("a count is negative")
        return {scan_id: ScanCounts(*row) for scan_id, row in zip(self.scan_ids, found.tolist())}

    def read(self, scan_id: str, with_labels: bool = True) -> PairedScan:
        """Read one scan and verify its checksums. features: float16. Without labels, `labels` is None."""
        group, array, texts = self._group(scan_id), self._file.array, self._file.texts
        try:
            points = array(f"{group}/xyz")  # the largest first: its memory serves the others
            image = array(f"{group}/image").astype(np.int16)
            names = texts(f"{group}/image_ids"), texts(f"{group}/phrases")
            pairs = PointTextPairs(image, array(f"{group}/entity"), *names, self._votes(group))
            labels = self.labels(scan_id) if with_labels else None
            return PairedScan(scan_id, points, array(f"{group}/features"), labels, pairs)
        except _OTHER_FORM as error:
            raise self._file.corrupt(f"scan {scan_id}", str(error)) from None

    def _votes(self, group: str) -> PointVotes | None:
        if not self._file.has(f"{group}/vote_phrase"):
            return None
        phrase, share, score, views = (self._file.array(f"{group}/vote_{name}") for name in _VOTES)
        return PointVotes(phrase.astype(np.int16), share, score, views)

    def has_labels(self, scan_id: str) -> bool:
        """Whether the scan has labels; no array is read."""
        return self._file.has(f"{self._group(scan_id)}/label")

    def labels(self, scan_id: str) -> np.ndarray | None:
        """Read the train ids (N,) uint8; None if the scan has no labels."""
        return self._file.array(f"{self._group(scan_id)}/label") if self.has_labels(scan_id) else None

    def image_ids(self, scan_id: str) -> tuple[str, ...]:
        """The images of one scan. Reads nothing else."""
        return self._file.texts(f"{self._group(scan_id)}/image_ids")

    def point_count(self, scan_id: str) -> int:
        """Number of points; no array is read."""
        return self._file.shape(f"{self._group(scan_id)}/xyz")[0]

    def scans(self) -> Iterator[PairedScan]:
        """Read every scan of the shard, in order."""
        return (self.read(scan_id) for scan_id in self.scan_ids)

    def _group(self, scan_id: str) -> str:
        if scan_id not in self.scan_ids:
            raise UnknownName(f"{self.path} holds no scan {scan_id!r}; it holds {len(self.scan_ids)} others")
        return f"scans/{scan_id}"


class ShardsByScan:
    """Finds the shard of a scan. The last MOST_OPEN shards that were used stay open."""

    # An open shard takes about a megabyte and one of a process's thousand file descriptors. To open it again
    # takes less time than to read a scan.
    MOST_OPEN = 16

    def __init__(self) -> None:
        self._reader_of: dict[str, ShardReader] = {}
        self._open: dict[ShardReader, None] = {}

    def add(self, reader: ShardReader, scan_ids: Iterable[str]) -> None:
        """Record that these scans are in the shard of `reader`."""
        self._reader_of |= dict.fromkeys(scan_ids, reader)

    def __getitem__(self, scan_id: str) -> ShardReader:
        """The shard that holds a scan."""
        reader = self._reader_of[scan_id]
        self._open.pop(reader, None)
        self._open[reader] = None
        if len(self._open) > self.MOST_OPEN:
            oldest = next(iter(self._open))
            oldest.close()
            del self._open[oldest]
        return reader


def _write_scan(file: h5py.File, scan: PairedScan, compact: bool) -> int:
    """Write one scan as the group scans/<scan_id>; return the checksum that it must read back with."""
    # Remission and rgb lie in [0, 1], where float16 errs by at most 2.5e-4. That is far below the sensor's
    # noise and saves two bytes per point and feature.
    with np.errstate(over="ignore"):
        features = scan.features.astype(np.float16)
    if not np.isfinite(features).all():
        what = f"scan {scan.scan_id}: features beyond 65504 do not fit float16"
        raise DataError(f"{what}; rescale them in the reader")
    pairs = scan.pairs
    group = file.create_group(f"scans/{scan.scan_id}")
    write_array(group, "xyz", scan.points, compact)
    write_array(group, "features", features, compact)
    if scan.labels is not None:
        write_array(group, "label", scan.labels, compact)
    write_array(group, "image", _small(pairs.image, len(pairs.image_ids)), compact)
    write_array(group, "entity", pairs.entity, compact)
    if pairs.votes is not None:
        write_array(group, "vote_phrase", _small(pairs.votes.phrase, len(pairs.phrases)), compact)
        for name in _VOTES[1:]:
            write_array(group, f"vote_{name}", getattr(pairs.votes, name), compact)
    write_array(group, "image_ids", text_array(pairs.image_ids))
    write_array(group, "phrases", text_array(pairs.phrases))
    write_attributes(group, {"scan_id": scan.scan_id, "points": len(scan.points)})
    return _checksum(PairedScan(scan.scan_id, scan.points, features, scan.labels, pairs))


def _small(slots: np.ndarray, count: int) -> np.ndarray:
    """`slots` of `count` things in one byte each if they fit, else as they are."""
    return slots.astype(np.int8) if count <= 128 else slots


def _attributes(header: ShardHeader) -> dict[str, object]:
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "fingerprint": header.fingerprint,
        **{name: getattr(header, name) for name in _HEADER_TEXTS},
        "colours": np.array(header.colours, np.uint8).reshape(-1, 3),
        "raw_ids": np.array(header.raw_ids, np.uint32),
        "count_names": ScanCounts._fields,
    }


def _checksum(scan: PairedScan) -> int:
    pairs = scan.pairs
    total = zlib.crc32(repr((scan.scan_id, scan.labels is None, pairs.image_ids, pairs.phrases)).encode())
    votes = [getattr(pairs.votes, name) for name in _VOTES] if pairs.votes is not None else []
    for array in (scan.points, scan.features, scan.labels, pairs.image, pairs.entity, *votes):
        if array is not None:
            total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total
