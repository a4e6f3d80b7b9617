"""The figures of a run by step: log.csv for people and programs, TensorBoard events for curves.

A resumed run continues both files. It first drops the rows of the steps that it takes again, so that each
step has one row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from lass3d_core.errors import CorruptArtifact
from lass3d_core.files.atomic import storage_errors, write_text


class RunLog:
    """The log of a run, for a `with` block. Raises StorageError if a file cannot be written."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        """steps_done: the first step that will be written. Later rows of `folder/log.csv` are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "log.csv"
        rows = [row for row in read_log(self._path) if int(row["step"]) < steps_done]
        self._columns: list[str] = list(rows[0]) if rows else ["step"]
        self._rewrite(rows)
        self._file = self._path.open("a", encoding="utf-8", newline="")
        self._events = SummaryWriter(folder / "events", purge_step=steps_done or None)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the row of `step`. A new figure becomes a new column."""
        row = {"step": str(step)} | {name: f"{value:.6g}" for name, value in figures.items()}
        new = [name for name in row if name not in self._columns]
        with storage_errors(self._path):
            if new:
                self._file.close()
                self._columns += new
                self._rewrite(read_log(self._path))
                self._file = self._path.open("a", encoding="utf-8", newline="")
            self._file.write(_as_csv(self._columns, [row]))
            self._file.flush()
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()

    def _rewrite(self, rows: Sequence[Mapping[str, str]]) -> None:
        header = dict(zip(self._columns, self._columns))
        write_text(self._path, _as_csv(self._columns, [header, *rows]))


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a log.csv: column -> text, empty if the step has no such figure. No file: no rows.

    A last row without end of line, left by a killed run, is dropped. Raises CorruptArtifact.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise CorruptArtifact(f"{path} is damaged; delete the run's folder and train again") from None
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(io.StringIO(whole)))
    if any(not (row.get("step") or "").isdigit() or None in row or None in row.values() for row in rows):
        raise CorruptArtifact(f"{path} is damaged; delete the run's folder and train again")
    return rows


def _as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()
