"""A table of the paper as a drawing: a line per row, a panel per ratio; a dot per seed, mean and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from train.report.curves import ticks
from train.report.render import render
from train.tables.figures import RowResult, TableResults
from train.tables.rows import nearest_ratio

PANEL_WIDTH = 260


def as_svg(filled: TableResults) -> str:
    """The drawing, for any browser; the paper's figures are hollow diamonds."""
    table, recipe = filled.plan.table, filled.plan.recipe
    return render(
        "table.svg",
        package="train.tables",
        title=f"{table.heading}: {table.title}, on {recipe.dataset}, mIoU in per cent on {recipe.split}",
        names=[row.title for row in table.rows],
        panels=[panel(filled, ratio) for ratio in recipe.ratios],
        panel_width=PANEL_WIDTH,
        has_paper=table.shows_paper,
    )


def panel(filled: TableResults, ratio: float) -> dict[str, Any]:
    """The panel of one ratio. ticks: place and label. rows: what is drawn of each row."""
    table = filled.plan.table
    benchmark = table.benchmark(filled.plan.recipe.world)
    papers = nearest_ratio(benchmark, ratio)
    entries = [filled.entry(row, ratio) for row in table.rows]
    printed = [row.papers(benchmark, papers) for row in table.rows]
    axis = Axis.around(entries, printed)
    beside = f"; paper: {benchmark} {papers:g} %"
    return {
        "heading": f"{ratio:g} % labelled{beside if table.shows_paper else ''}",
        "ticks": [(axis.x(value), f"{value:g}") for value in ticks(axis.low, axis.high)],
        "rows": [_marks(entry, miou, axis) for entry, miou in zip(entries, printed)],
    }


@dataclass(frozen=True)
class Axis:
    """The range of mIoU that a panel shows, per cent."""

    low: float
    high: float

    @classmethod
    def around(cls, entries: list[RowResult], printed: list[float | None]) -> Axis:
        """From the least to the largest figure, with some room."""
        shown = [value for entry in entries for value in entry.values.values()]
        shown += [value for value in printed if value is not None]
        if not shown:
            return cls(0.0, 100.0)
        room = 0.15 * (max(shown) - min(shown)) + 2.0
        return cls(min(shown) - room, max(shown) + room)

    def x(self, value: float) -> float:
        """The place of a value, pixels. Intervals that are wider than the panel are cut off at its edge."""
        inside = min(max(value, self.low), self.high)
        return round(float((inside - self.low) / (self.high - self.low) * PANEL_WIDTH), 1)


def _marks(entry: RowResult, papers: float | None, axis: Axis) -> dict[str, Any]:
    """What is drawn of one row, in pixels from the panel's left edge. None is not drawn."""
    miou = entry.miou
    return {
        "seeds": list(map(axis.x, entry.values.values())),
        "mean": axis.x(miou.mean) if miou else None,
        "interval": (axis.x(miou.low), axis.x(miou.high)) if miou and math.isfinite(miou.half) else None,
        "paper": None if papers is None else axis.x(papers),
    }
