"""The figures of a run by step: log.csv for people and programs, and the trackers for curves.

A resumed run continues the file. It first drops the rows of the steps that it takes again, so that each
step has one row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lass3d_core.errors import CorruptArtifact
from lass3d_core.files.atomic import storage_errors, write_text
from train.trackers.guarded import Trackers


class RunLog:
    """The log of a run, for a `with` block. Raises StorageError if a file cannot be written."""

    def __init__(self, folder: Path, steps_done: int, trackers: Trackers | None = None) -> None:
        """steps_done: the first step that will be written. Later rows of `folder/log.csv` are dropped.

        trackers: get all figures, too.
        """
        self._path = folder / "log.csv"
        rows = [row for row in read_log(self._path) if int(row["step"]) < steps_done]
        self._columns: list[str] = list(rows[0]) if rows else ["step"]
        self.last: dict[str, str] = rows[-1] if rows else {}  # the last row
        self._reopen(rows)
        self._trackers = trackers
        self._pictures: dict[str, np.ndarray] = {}

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the row of `step`, or add figures to it. A new figure becomes a new column.

        The figures of single classes, "val_iou/car", go to the trackers alone: they are as many as classes.
        """
        columns = {name: value for name, value in figures.items() if "/" not in name}
        row = {"step": str(step)} | {name: f"{value:.6g}" for name, value in columns.items()}
        new = [name for name in row if name not in self._columns]
        goes_on = row["step"] == self.last.get("step")
        self.last = self.last | row if goes_on else row
        with storage_errors(self._path):
            if new or goes_on:
                self._file.close()
                self._columns += new
                rows = read_log(self._path)
                self._reopen([*(rows[:-1] if goes_on else rows), self.last])
            else:
                self._file.write(_as_csv(self._columns, [row]))
                self._file.flush()
        self.tell(step, figures)
        while self._trackers is not None and self._pictures:
            self._trackers.picture(step, *self._pictures.popitem())

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        """Give figures to the trackers alone: other files of the run have them."""
        if self._trackers is not None:
            self._trackers.log(step, figures)

    def show(self, name: str, image: np.ndarray) -> None:
        """Give an image (H,W,3) uint8 to the trackers, with the next row."""
        self._pictures[name] = image

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _reopen(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Write the file anew, and open it to append."""
        header = dict(zip(self._columns, self._columns))
        write_text(self._path, _as_csv(self._columns, [header, *rows]))
        self._file = self._path.open("a", encoding="utf-8", newline="")


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a log.csv: column -> text, empty if the step has no such figure. No file: no rows.

    A last row without end of line, left by a killed run, is dropped. Raises CorruptArtifact.
    """
    damaged = CorruptArtifact(f"{path} is damaged; restore it, or train again under another TAG")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise damaged from None
    try:
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
    except csv.Error:  # such as a zero byte, before Python 3.11
        raise damaged from None
    if not all(map(_is_whole, rows)):
        raise damaged
    return rows


def _is_whole(row: Mapping[str, str]) -> bool:
    """Whether a row has a step, as many cells as there are columns, and nothing but figures in them."""
    if None in row or None in row.values() or not row.get("step", "").isdigit():
        return False
    try:
        np.array([cell for cell in row.values() if cell], np.float64)
    except ValueError:
        return False
    return True


def column_mean(rows: Sequence[Mapping[str, str]], column: str) -> float | None:
    """The mean of a column over the rows that have it; None if none has."""
    values = [float(row[column]) for row in rows if row.get(column)]
    return float(np.mean(values)) if values else None


def _as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()
