"""A table of the paper as a drawing: a line per row, a panel per ratio; a dot per seed, mean and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from train.report.curves import ticks
from train.report.render import render
from train.tables.figures import Entry, Filled
from train.tables.rows import nearest_ratio

PANEL_WIDTH = 260


@dataclass(frozen=True)
class Marks:
    """What is drawn of one row, in pixels from the panel's left edge. None is not drawn."""

    seeds: tuple[float, ...]
    mean: float | None
    interval: tuple[float, float] | None
    paper: float | None


@dataclass(frozen=True)
class Panel:
    """One ratio. ticks: place and label."""

    heading: str
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[Marks, ...]


def as_svg(filled: Filled) -> str:
    """The drawing, for any browser; the paper's figures are hollow diamonds."""
    table, recipe = filled.plan.table, filled.plan.recipe
    return render(
        "table.svg",
        package="train.tables",
        title=f"{table.heading}: {table.title}, on {recipe.dataset}, mIoU in per cent on {recipe.split}",
        names=[row.title for row in table.rows],
        panels=[panel(filled, ratio) for ratio in recipe.ratios],
        panel_width=PANEL_WIDTH,
    )


def panel(filled: Filled, ratio: float) -> Panel:
    """Scale what every row reached at `ratio`."""
    table = filled.plan.table
    benchmark = table.benchmark(filled.plan.recipe.world)
    papers = nearest_ratio(benchmark, ratio)
    entries = [filled.entry(row, ratio) for row in table.rows]
    printed = [row.papers(benchmark, papers) for row in table.rows]
    axis = Axis.around(entries, printed)
    return Panel(
        f"{ratio:g} % labelled; paper: {benchmark} {papers:g} %",
        tuple((axis.x(value), f"{value:g}") for value in ticks(axis.low, axis.high)),
        tuple(_marks(entry, miou, axis) for entry, miou in zip(entries, printed)),
    )


@dataclass(frozen=True)
class Axis:
    """The range of mIoU that a panel shows, per cent."""

    low: float
    high: float

    @classmethod
    def around(cls, entries: list[Entry], printed: list[float | None]) -> Axis:
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


def _marks(entry: Entry, papers: float | None, axis: Axis) -> Marks:
    miou = entry.miou
    is_bounded = miou is not None and not math.isinf(miou.half)
    return Marks(
        seeds=tuple(map(axis.x, entry.values.values())),
        mean=axis.x(miou.mean) if miou else None,
        interval=(axis.x(miou.low), axis.x(miou.high)) if miou and is_bounded else None,
        paper=None if papers is None else axis.x(papers),
    )
