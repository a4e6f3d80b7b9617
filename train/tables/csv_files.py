"""A table as two CSV files: one line per row and ratio, and one line per run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from train.tables.figures import TableResults
from train.tables.rows import nearest_ratio
from train.tables.statistics import Interval, verdict

ROWS = (
    *("row", "ratio", "seeds", "miou_official", "miou", "miou_low", "miou_high"),
    *("reference", "difference", "difference_low", "difference_high", "better_than_reference"),
    *("paper_benchmark", "paper_ratio", "paper_miou", "not_built"),
)
RUNS = (
    *("row", "ratio", "seed", "state", "split", "miou_official", "absent", "miou", "scans", "split_scans"),
    *("labelled_scans", "training_scans", "protocol", "preset", "steps", "passes", "updates"),
    *("seconds_per_step", "folder", "digest", "why"),
)


def rows_csv(filled: TableResults) -> str:
    """A line per row and ratio: means and intervals in percent, empty if no run is finished.

    miou and differences: absent classes dropped. miou_official: by the official rule.
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
            reached = [row.title, f"{ratio:g}", seeds, _figure(entry.official), *_bounds(entry.miou)]
            against = [table.reference, *_bounds(entry.gap), verdict(entry.gap) if entry.gap else None]
            printed = [benchmark, f"{papers:g}", row.papers(benchmark, papers)]
            lines.append([*reached, *against, *printed, plan.not_built.get(row.title)])
    return _csv(ROWS, lines)


def runs_csv(filled: TableResults) -> str:
    """A line per run that the table needs, finished or not."""
    lines = []
    for cell in filled.plan.cells:
        figures = filled.figures.get((cell.row.title, cell.ratio, cell.seed))
        split = cell.run.split
        line = {
            "row": cell.row.title,
            "ratio": f"{cell.ratio:g}",
            "seed": cell.seed,
            "state": cell.state,
            "split": filled.plan.recipe.split,
            "labelled_scans": len(split.labelled),
            "training_scans": len(split.labelled) + len(split.unlabelled),
            "protocol": split.protocol,
            "preset": cell.plan.config.preset,
            "steps": cell.plan.config.schedule.steps,
            "folder": cell.plan.folder.name,
            "digest": cell.run.saved.digest,
            "why": cell.why,
        }
        if figures is not None:
            line |= {
                "miou": _figure(figures.miou),
                "miou_official": _figure(figures.official),
                "absent": figures.metrics.absent,
                "scans": figures.metrics.scans,
                "split_scans": figures.metrics.split_scans,
                "passes": _figure(figures.passes),
                "updates": _figure(figures.updates),
                "seconds_per_step": _figure(figures.seconds),
            }
        lines.append([line.get(column) for column in RUNS])
    return _csv(RUNS, lines)


def _bounds(found: Interval | None) -> list[str]:
    """Mean, low, high. The bounds are empty for one seed."""
    return [_figure(bound) for bound in (found.mean, found.low, found.high)] if found else [""] * 3


def _figure(value: float | None) -> str:
    return "" if value is None or math.isinf(value) else f"{value:.6g}"


def _csv(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *lines])
    return text.getvalue()
