"""A table as two CSV files: one line per row and ratio, and one line per run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from train.runs.run import Run
from train.tables.figures import QUANTITIES, TableResults
from train.tables.plan import TableRun
from train.tables.records import CHECK, FINISHED, Recorded, cells_of, checksum, shown
from train.tables.rows import nearest_ratio
from train.tables.statistics import Interval, verdict

ROWS = (
    *("row", "ratio", "seeds", "miou_official", "miou", "miou_low", "miou_high"),
    *("reference", "difference", "difference_low", "difference_high", "better_than_reference"),
    *("paper_benchmark", "paper_ratio", "paper_miou", "not_built"),
    *("accuracy", "miou_camera", "accuracy_camera"),
    *(
        f"difference_{quantity}{bound}"
        for quantity in ("accuracy", "miou_camera", "accuracy_camera")
        for bound in ("", "_low", "_high")
    ),
)
RUNS = (
    *("row", "ratio", "seed", "state", "split", "miou_official", "absent", "miou", "accuracy"),
    *("scans", "split_scans", "labelled_scans", "training_scans", "protocol", "preset", "steps", "passes"),
    *("updates", "seconds_per_step", "folder", "digest", "version", "revision", "why"),
    *("camera_miou_official", "camera_miou", "camera_accuracy", "iou"),
)
"""Besides the checksum, which ends a line."""

IDENTITY = ("row", "ratio", "seed", "split")
"""The columns that say which line of a table a line is."""


def rows_csv(filled: TableResults) -> str:
    """A line per row and ratio: means and intervals in percent, empty if no run is finished.

    miou and differences: absent classes dropped. miou_official: by the official rule. miou_camera: of the
    points in camera, as miou.
    """
    plan = filled.plan
    table = plan.table
    benchmark = table.benchmark(plan.recipe.world)
    lines = []
    for ratio in plan.recipe.ratios:
        papers = nearest_ratio(benchmark, ratio)
        for row in table.rows:
            entry = filled.entry(row, ratio)
            seeds = " ".join(map(str, entry.values))
            reached = [row.title, f"{ratio:g}", seeds, shown(entry.official), *_bounds(entry.miou)]
            against = [table.reference, *_bounds(entry.gap), verdict(entry.gap) if entry.gap else None]
            printed = [benchmark, f"{papers:g}", row.papers(benchmark, papers)]
            further = [filled.further(row.title, ratio, quantity) for quantity in QUANTITIES]
            means = [shown(mean.mean) if mean else "" for mean, _ in further]
            gaps = [bound for _, gap in further for bound in _bounds(gap)]
            lines.append([*reached, *against, *printed, plan.why_not(row.title, ratio), *means, *gaps])
    return _csv(ROWS, lines)


def runs_csv(filled: TableResults, before: Sequence[Recorded] = ()) -> str:
    """A line per run that the table needs, finished or not, and one more for each further split.

    Every line ends with its checksum, so that a later table can take the run from it: see records.py.
    before: recorded lines of the same table. Those that this plan has no figures for are kept: of other
    seeds and ratios, or of a run that is not finished anew.
    """
    lines = []
    for cell in filled.plan.cells:
        key = cell.row.title, cell.ratio, cell.seed
        figures = filled.figures.get(key)
        found = (figures, *filled.beside.get(key, ())) if figures else ()
        lines += [_run_line(cell) | cells_of(one) for one in found]
        if not found:
            lines.append(_run_line(cell) | {"split": filled.plan.recipe.split, "state": cell.state})
    return lines_csv(lines, before)


def run_line(title: str, run: Run) -> dict[str, str]:
    """The cells of a finished run's line that its configuration tells. title: of its row."""
    config, split = run.config, run.split
    return {
        "row": title,
        "ratio": f"{config.ratio:g}",
        "seed": str(config.seed),
        "state": FINISHED,
        "labelled_scans": str(len(split.labelled)),
        "training_scans": str(len(split.labelled) + len(split.unlabelled)),
        "protocol": split.protocol,
        "preset": config.preset,
        "steps": str(config.schedule.steps),
        "folder": run.folder.path.name,
        "digest": run.saved.digest,
    }


def lines_csv(lines: Sequence[Mapping[str, str]], before: Sequence[Recorded] = ()) -> str:
    """Lines of runs as a file: a head, and each line with its checksum.

    before: recorded lines of the same table. Those that no new line with figures replaces are kept.
    """
    new = {_identity(line) for line in lines if line["state"] == FINISHED}
    kept = [one.cells for one in before if _identity(one.cells) not in new]
    rows = [[line.get(column, "") for column in RUNS] for line in [*lines, *kept]]
    return _csv((*RUNS, CHECK), [[*row, checksum(row)] for row in rows])


def _run_line(cell: TableRun) -> dict[str, str]:
    """As `run_line`, at the ratio of the table. It counts as finished, wherever it was trained."""
    return run_line(cell.row.title, cell.run) | {"ratio": f"{cell.ratio:g}", "why": cell.why}


def _identity(line: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(line[column] for column in IDENTITY)


def _bounds(found: Interval | None) -> list[str]:
    """Mean, low, high. The bounds are empty for one seed."""
    return [shown(bound) for bound in (found.mean, found.low, found.high)] if found else [""] * 3


def _csv(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *lines])
    return text.getvalue()
