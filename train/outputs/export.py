"""Write a run's predictions as a benchmark's submission, check them, and pack them.

The folder holds the benchmark's files, and `export.json`, which says which run made them. For the test split
it also holds `submission.zip`, which each of the three servers takes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from lass3d_core.datasets import Submission, submission_of
from lass3d_core.errors import CorruptArtifact, DataError, Lass3dError, StaleArtifact
from lass3d_core.files.atomic import atomic_write, remove_parts
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.model.predict import load
from lass3d_core.progress.bars import progress_bar
from lass3d_core.settings import read, to_json
from train.data.evaluation_scans import scan_loader
from train.data.paired_scans import PairedScans
from train.evaluate import predictions, with_progress
from train.report.words import counted
from train.runs.run import Run

T = TypeVar("T")

RECORD = "export.json"
ARCHIVE = "submission.zip"


@dataclass(frozen=True)
class ExportRecord:
    """export.json: which run made the predictions of a folder, for which reader and split."""

    run_digest: str
    reader: str
    split: str
    tta: int = 1


@dataclass(frozen=True)
class Exported:
    """What lies in `folder` after an export."""

    folder: Path
    scans: int
    predicted: int  # number of scans that were predicted now; the others were there before
    points: int
    archive: Path | None

    def __str__(self) -> str:
        kept = f" ({self.scans - self.predicted} kept)" if self.predicted < self.scans else ""
        packed = f", for the server {self.archive}" if self.archive else ""
        written = f"{counted(self.scans, 'scan')}{kept}, {counted(self.points, 'point')}"
        return f"wrote {written}, checked: {self.folder}{packed}"


def export(run: Run, spec: DatasetSpec, split: str, folder: Path, tta: int = 1) -> Exported:
    """Predict every scan of `split`, labelled or not, and write the files of the data set's benchmark.

    tta: passes over turned and mirrored scans, whose probabilities are averaged.
    Decision: an export that was interrupted goes on. Files of the same run that read back whole are kept. A
    folder with anything else in it is refused, and nothing is written into it.
    Raises MissingArtifact (the run is not trained), DataError (the split is empty, or its classes are not the
    benchmark's), StaleArtifact (the folder is another run's), Lass3dError (the folder is no export),
    CorruptArtifact, StorageError.
    """
    files = PredictionFiles(folder, submission_of(spec), split, run.pairs)
    run.folder.require_trained(run.config.schedule.steps)
    _require_classes(run.pairs, split, files.submission)
    _claim(folder, ExportRecord(run.saved.digest, spec.reader, split, tta))
    files.remove_parts()
    missing = [one for one in _bar(files.scan_ids, "looking for earlier files") if not files.is_whole(one)]
    if missing:
        for scan_id, predicted in _predicted(run, missing, f"exporting {split}", tta):
            files.write(scan_id, predicted)
    further = files.submission.further_files(split)
    for place, content in further.items():
        with atomic_write(folder / place) as part:
            part.write_bytes(content)
    places = [*map(files.place, files.scan_ids), *further]
    _require_no_others(folder, places)
    points = sum(len(files.read(scan_id)) for scan_id in _bar(files.scan_ids, "checking"))
    archive = _pack(folder, places) if split == "test" else None
    return Exported(folder, len(files.scan_ids), len(missing), points, archive)


def _predicted(run: Run, scan_ids: Sequence[str], title: str, tta: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each scan with the train ids (N,) uint8 of its points."""
    if tta == 1:
        scans = scan_loader(run.whole_scans_of(scan_ids), run.config.data.workers)
        ahead = with_progress(scans, len(scan_ids), title)
        for scan, predicted in predictions(run.trained_predictor(), ahead, run.device):
            yield scan.scan_id, predicted
        return
    model = load(run.folder.model).to(run.device)
    for scan_id in progress_bar(scan_ids, desc=f"{title}, {tta} passes", unit="scan", leave=False):
        paired = run.pairs.read(scan_id)
        yield scan_id, model.predict(paired.points, paired.features, tta=tta).labels


@dataclass(frozen=True)
class PredictionFiles:
    """The prediction files of a split below `folder`, one per scan."""

    folder: Path
    submission: Submission
    split: str
    pairs: PairedScans

    @property
    def scan_ids(self) -> tuple[str, ...]:
        """Every scan of the split."""
        return self.pairs.splits[self.split]

    def place(self, scan_id: str) -> PurePosixPath:
        """Where the scan's file lies below the folder."""
        return self.submission.file(self.split, scan_id)

    def write(self, scan_id: str, predicted: np.ndarray) -> None:
        """Write the train ids (N,) uint8. The file takes its name only if it reads back the same."""
        path = self.folder / self.place(scan_id)
        with atomic_write(path) as part:
            part.write_bytes(self.submission.encode(predicted))
            if not np.array_equal(self.submission.decode(part.read_bytes(), str(path)), predicted):
                raise CorruptArtifact(f"{path} reads back differently; check the disk")

    def read(self, scan_id: str) -> np.ndarray:
        """The train ids (N,) uint8 of one scan, as the official tool reads them.

        Raises DataError if the file is missing, or does not give every point a class of the benchmark.
        """
        path, count = self.folder / self.place(scan_id), self.pairs.point_count(scan_id)
        try:
            found = self.submission.decode(path.read_bytes(), str(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}; export again") from None
        again = "delete it and export again"
        if len(found) != count:
            raise DataError(f"{path} has {len(found)} predictions, its scan {count} points; {again}")
        if (found == IGNORE).any():
            raise DataError(f"{path} has points without a class; {again}")
        return found

    def is_whole(self, scan_id: str) -> bool:
        """Whether the scan's file is there and complete."""
        try:
            self.read(scan_id)
        except DataError:
            return False
        return True

    def remove_parts(self) -> None:
        """Delete the half-written files of exports that were killed."""
        below = {(self.folder / self.place(scan_id)).parent for scan_id in self.scan_ids}
        for folder in {self.folder} | below:
            remove_parts(folder)


def _require_classes(pairs: PairedScans, split: str, submission: Submission) -> None:
    """Raise DataError if the split has no scans, or if the classes are not the benchmark's."""
    if not pairs.splits[split]:
        raise DataError(
            f"{pairs.folder / 'pairs'} holds no scan of the split {split}; "
            'name some in `splits` of the manifest and run "make captions pairs"'
        )
    if pairs.header.class_names != submission.label_space.names:
        raise DataError(
            f"{pairs.folder / 'pairs'} has the classes {', '.join(pairs.header.class_names[:3])}, ..., the "
            f"benchmark {', '.join(submission.label_space.names[:3])}, ...; mend `reader`"
        )


def _claim(folder: Path, record: ExportRecord) -> None:
    """Write the record into `folder`. Raises as `export` does if the folder holds anything else."""
    path, into = folder / RECORD, "folder with --into FOLDER (make: INTO=FOLDER)"
    if path.exists():
        try:
            found = read(ExportRecord, read_json(path))
        except (OSError, ValueError) as error:
            problem = f"{path} cannot be read ({error}); delete its folder and export again"
            raise CorruptArtifact(problem) from None
        if found != record:
            other = "holds the predictions of another run or split; delete it, or give another"
            raise StaleArtifact(f"{folder} {other} {into}")
        return
    # A killed export may have left its half-written record.
    if folder.is_file() or any(not one.match(f"{RECORD}.*.part") for one in folder.glob("*")):
        raise Lass3dError(f"{folder} is no export of ours ({RECORD} is missing); give an empty {into}")
    write_json(path, to_json(record))


def _require_no_others(folder: Path, places: Sequence[PurePosixPath]) -> None:
    """Raise Lass3dError if the folder holds other files: official tools would count them as predictions."""
    ours = {folder / place for place in places} | {folder / RECORD, folder / ARCHIVE}
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path not in ours)
    if others:
        raise Lass3dError(
            f"{others[0]} is no part of the export ({len(others)} such files) and might be counted as one; "
            "move it away"
        )


def _pack(folder: Path, places: Sequence[PurePosixPath]) -> Path:
    """Write the archive to upload. Equal files give equal bytes. Raises StorageError."""
    archive = folder / ARCHIVE
    with atomic_write(archive) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        # semantic-kitti-api's validate_submission.py wants the folders as entries.
        for parent in sorted({parent for place in places for parent in place.parents if parent.name}):
            packed.writestr(_entry(f"{parent}/", 0o40755), b"")
        for place in _bar(places, "packing"):
            packed.writestr(_entry(str(place), 0o100644), (folder / place).read_bytes(), zipfile.ZIP_DEFLATED)
    return archive


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    """An entry with fixed permissions, and ZipInfo's fixed date in 1980."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


def _bar(items: Sequence[T], what: str) -> Iterable[T]:
    return progress_bar(items, desc=what, unit="file", leave=False, delay=1)
