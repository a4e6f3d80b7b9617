"""Recorded figures: the lines of `-runs.csv` as a later `make table` reads them, with what is wrong in them.

Runs do not outlast a machine, their lines can be committed. A line holds the whole digest of a run, so it
stands for that run and no other.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.files.text_lines import text_of
from train.report.words import counted
from train.tables.run_figures import CameraShares, RunFigures

CHECK = "check"
"""The column with the checksum of the other cells of its line: a figure that somebody changed is found."""

NEEDED = (
    *("row", "ratio", "seed", "state", "split", "miou_official", "absent", "miou", "accuracy", "scans"),
    *("split_scans", "steps", "passes", "updates", "seconds_per_step", "digest", "version", "revision"),
    *("camera_miou_official", "camera_miou", "camera_accuracy", "iou", CHECK),
)
"""The columns that a record is read from."""

_YOUNGER = {"accuracy", "version", "revision", "iou", CHECK}
"""Columns that files of before lack. A file that has some of them and not all is damaged."""

FINISHED = "finished"
"""The state of a line with figures."""

_REMEDY = "restore the file, or delete the line: its run is then trained again"


class Recorded(NamedTuple):
    """A line with figures. where: file and line. cells: by column."""

    figures: RunFigures
    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Records:
    """Recorded figures by the run's digest and split. notes: a line for each file that holds none."""

    found: Mapping[tuple[str, str], Recorded] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Records:
        """The records of every `*-runs.csv` below `folder`, which need not exist yet.

        Raises CorruptArtifact, which names file and line, for a damaged file, and for two lines of a run that
        differ; DataError if `folder` is a file.
        """
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--figures {folder}: it is a file; give the folder of the recorded figures")
        found: dict[tuple[str, str], Recorded] = {}
        notes, conflicts = [], []
        for path in sorted(folder.rglob("*-runs.csv")):
            lines = recorded_lines(path)
            if lines is None:
                notes.append(f"note: {path} is of an earlier version, and no run can be taken from it")
            for one in lines or ():
                first = found.setdefault((one.figures.digest, one.figures.split), one)
                conflicts += _conflict(first, one)
        if conflicts:
            more = f"; there are {len(conflicts) - 1} more such pairs" if len(conflicts) > 1 else ""
            raise CorruptArtifact(f"{conflicts[0]}; delete the line that is wrong{more}")
        if not found and not notes:
            notes.append(f"note: {folder} holds no recorded run yet")
        return cls(found, tuple(notes))

    def of(self, digest: str, split: str) -> RunFigures | None:
        """The figures of a run on a split; None if they are not recorded."""
        recorded = self.found.get((digest, split))
        return recorded and recorded.figures


def recorded_lines(path: Path) -> list[Recorded] | None:
    """The lines of a file that have figures; None for a file of before. Raises CorruptArtifact, DataError."""
    lines = list(_lines(path))
    if not lines:
        raise CorruptArtifact(f"{path} is empty; restore it, or delete it: its runs are then trained again")
    (_, header), *others = lines
    if "digest" in header and not set(header) & _YOUNGER:
        return None
    missing = [column for column in NEEDED if column not in header]
    if missing or len(set(header)) < len(header):
        what = f"the column {missing[0]} is missing" if missing else "a column stands twice"
        raise CorruptArtifact(f"{path}, line 1: {what}; restore the file, or delete it")
    found = []
    for number, values in others:
        where = f"{path}, line {number}"
        cells = _checked(header, values, where)
        if cells["state"] == FINISHED:
            found.append(Recorded(figures_in(cells, where), where, cells))
    return found


def cells_of(figures: RunFigures) -> dict[str, str]:
    """The cells of a recorded line that hold the figures of its run."""
    camera = figures.camera or CameraShares(None, None, None)
    return {
        "split": figures.split,
        "miou_official": shown(figures.official),
        "absent": figures.absent,
        "miou": shown(figures.miou),
        "accuracy": shown(figures.accuracy),
        "scans": str(figures.scans),
        "split_scans": "" if figures.split_scans is None else str(figures.split_scans),
        "steps": str(figures.steps),
        "passes": shown(figures.passes),
        "updates": shown(figures.updates),
        "seconds_per_step": shown(figures.seconds),
        "digest": figures.digest,
        "version": figures.version,
        "revision": figures.revision,
        "camera_miou_official": shown(camera.official),
        "camera_miou": shown(camera.miou),
        "camera_accuracy": shown(camera.accuracy),
        "iou": "; ".join(f"{name.translate(_ESCAPES)}: {shown(iou) or '-'}" for name, iou in figures.iou),
    }


def checksum(cells: Sequence[str]) -> str:
    """The cell of the column `check`: 16 hex digits of the SHA-256 of the line's other cells.

    Each cell counts with the line break behind it.
    """
    return hashlib.sha256("".join(f"{cell}\n" for cell in cells).encode()).hexdigest()[:16]


def shown(value: float | None) -> str:
    """A number with six digits; empty for None and for infinity."""
    return "" if value is None or math.isinf(value) else f"{value:.6g}"


_ESCAPES = str.maketrans({mark: f"%{ord(mark):02X}" for mark in "%;\r\n"})
"""For names of classes, between which a semicolon stands."""


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file, with the number of each. Raises CorruptArtifact, DataError."""
    reader = csv.reader(io.StringIO(text_of(path, "restore it"), newline=""), strict=True)
    number = 1
    try:
        for values in reader:
            if values:
                yield number, values
            number = reader.line_num + 1
    except csv.Error as error:
        raise CorruptArtifact(f"{path}, line {number}: no line of CSV ({error}); {_REMEDY}") from None


def _checked(header: Sequence[str], values: Sequence[str], where: str) -> dict[str, str]:
    """The cells of a line by column. Raises CorruptArtifact if one is missing or was changed."""
    if len(values) != len(header):
        raise CorruptArtifact(
            f"{where}: it has {counted(len(values), 'cell')}, the head has {len(header)}; {_REMEDY}"
        )
    cells = dict(zip(header, values))
    own = [cell for column, cell in cells.items() if column != CHECK]
    if cells[CHECK] != checksum(own):
        raise CorruptArtifact(
            f"{where}: a cell was changed after the line was written ({CHECK} is {cells[CHECK][:16]!r}, "
            f"the cells give {checksum(own)!r}); {_REMEDY}"
        )
    return cells


def figures_in(cells: Mapping[str, str], where: str) -> RunFigures:
    """The figures that a line holds. Raises CorruptArtifact, which names the column."""
    read = _Cells(cells, where)
    return RunFigures(
        digest=read.word("digest", r"[0-9a-f]{64}", "64 hex digits"),
        split=read.word("split", r".+", "the name of a split"),
        official=read.share("miou_official"),
        miou=read.share("miou"),
        accuracy=read.share("accuracy"),
        absent="dropped" if read.word("absent", "zero|dropped", "zero or dropped") == "dropped" else "zero",
        iou=read.iou(),
        scans=read.count("scans"),
        split_scans=read.count("split_scans") if cells["split_scans"] else None,
        steps=read.count("steps"),
        passes=read.number("passes", cells["passes"]),
        updates=read.number("updates", cells["updates"]),
        seconds=read.number("seconds_per_step", cells["seconds_per_step"]),
        version=cells["version"],
        revision=cells["revision"],
        camera=read.camera(),
    )


class _Cells(NamedTuple):
    """The cells of a line, read one by one. Each method raises CorruptArtifact, which names the column."""

    cells: Mapping[str, str]
    where: str

    def word(self, column: str, pattern: str, expected: str) -> str:
        """A cell that fits `pattern`."""
        cell = self.cells[column]
        return cell if re.fullmatch(pattern, cell, re.ASCII) else self._refuse(column, cell, expected)

    def count(self, column: str) -> int:
        """A whole number."""
        return int(self.word(column, r"\d{1,12}", "a whole number"))

    def number(self, column: str, cell: str, most: float = math.inf) -> float | None:
        """A number from 0 to `most`, or None for an empty cell."""
        if not cell:
            return None
        plain = re.fullmatch(r"\d+(\.\d+)?(e[-+]\d+)?", cell, re.ASCII)
        if not plain or not float(cell) <= most or math.isinf(float(cell)):
            self._refuse(column, cell, "a number of at least 0" if math.isinf(most) else "per cent")
        return float(cell)

    def share(self, column: str) -> float | None:
        """Per cent, or None for an empty cell."""
        return self.number(column, self.cells[column], 100.0)

    def camera(self) -> CameraShares | None:
        """The columns of the points in camera; None if all are empty."""
        figures = [self.share(f"camera_{column}") for column in ("miou_official", "miou", "accuracy")]
        return None if figures == [None] * 3 else CameraShares(*figures)

    def iou(self) -> tuple[tuple[str, float | None], ...]:
        """The column `iou`: "car: 71.2; lamp: -"."""
        found = []
        for part in self.cells["iou"].split("; "):
            name, colon, value = part.rpartition(": ")
            if not colon or not value:
                self._refuse("iou", part, "class: per cent")
            found.append((unquote(name), self.number("iou", "" if value == "-" else value, 100.0)))
        return tuple(found)

    def _refuse(self, column: str, cell: str, expected: str) -> str:
        said = cell if len(cell) <= 40 else f"{cell[:37]}..."
        raise CorruptArtifact(f"{self.where}: {column} is {said!r}, not {expected}; {_REMEDY}")


def _conflict(one: Recorded, other: Recorded) -> list[str]:
    """In what two lines of the same run and split disagree, if they do. Costs may differ by machine."""
    ours, theirs = vars(one.figures), vars(other.figures)
    for name, column in _RESULTS.items():
        if ours[name] != theirs[name]:
            run = f"{one.figures.digest[:12]} on {one.figures.split}"
            values = f"{_brief(theirs[name])}, and {_brief(ours[name])} in {one.where}"
            return [f"{other.where}: {column} of the run {run} is {values}"]
    return []


_RESULTS = {
    "scans": "scans",
    "split_scans": "split_scans",
    "steps": "steps",
    "absent": "absent",
    "official": "miou_official",
    "miou": "miou",
    "accuracy": "accuracy",
    "iou": "iou",
}
"""The fields of RunFigures in which two records of a run may not differ, and the column of each."""


def _brief(value: object) -> str:
    return str(value) if len(str(value)) <= 40 else f"{str(value)[:37]}..."
