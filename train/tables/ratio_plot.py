"""A table over ratios as a line chart: mIoU with its interval against the ratio, a line per row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from train.report.curves import ticks
from train.report.render import render
from train.tables.figures import TableResults

LEFT, RIGHT, TOP, BOTTOM = 56, 616, 76, 356
"""The edges of the axes, pixels."""

_APART = 4.0  # pixels between two rows at the same ratio: their intervals lie side by side
FULL = 100.0  # percent
KINDS = 4  # colours and marks in ratio.svg


def as_curve(filled: TableResults) -> str:
    """The drawing, for any browser. A dashed line stands at the reference row with all labels."""
    table, recipe = filled.plan.table, filled.plan.recipe
    full = filled.entry(table.row(table.reference), FULL).miou if FULL in recipe.ratios else None
    axes = Axes.around(filled)
    return render(
        "ratio.svg",
        package="train.tables",
        title=f"{table.heading}: {table.title}, on {recipe.dataset}",
        quantity=f"mIoU in per cent on {recipe.split}",
        frame={"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
        x_ticks=[(axes.x(ratio), f"{ratio:g} %") for ratio in sorted(recipe.ratios)],
        y_ticks=[(axes.y(value), f"{value:g}") for value in ticks(axes.low, axes.high)],
        full=None if full is None else (axes.y(full.mean), f"{table.reference}, all labels: {full.mean:.1f}"),
        rows=[
            _row(filled, place, axes)
            for place, row in enumerate(table.rows)
            if row.title not in filled.plan.not_built
        ],
    )


@dataclass(frozen=True)
class Axes:
    """The ratios from `first` to `last` percent, along their logarithm, and the mIoU from `low` to `high`."""

    first: float
    last: float
    low: float
    high: float

    @classmethod
    def around(cls, filled: TableResults) -> Axes:
        """All ratios of the table, and every mean. Intervals that are wider are cut off at the edge."""
        recipe = filled.plan.recipe
        entries = [filled.entry(row, ratio) for row in filled.plan.table.rows for ratio in recipe.ratios]
        means = [entry.miou.mean for entry in entries if entry.miou]
        low, high = (min(means), max(means)) if means else (0.0, 100.0)
        room = 0.15 * (high - low) + 2.0
        bounds = max(0.0, low - room), min(100.0, high + room)
        return cls(min(recipe.ratios), max(recipe.ratios), *bounds)

    def x(self, ratio: float) -> float:
        """The place of a ratio, pixels; a single one stands in the middle."""
        span = math.log(self.last / self.first)
        share = math.log(ratio / self.first) / span if span else 0.5
        return round(LEFT + 24 + share * (RIGHT - LEFT - 48), 1)

    def y(self, value: float) -> float:
        """The place of an mIoU in percent, pixels."""
        inside = min(max(value, self.low), self.high)
        return round(BOTTOM - (inside - self.low) / (self.high - self.low) * (BOTTOM - TOP), 1)


def _row(filled: TableResults, place: int, axes: Axes) -> dict[str, Any]:
    """What is drawn of a row, in pixels: marks (x, y), a path through them, intervals (x, y of both ends).

    kind: its colour and mark, which do not depend on the rows that are left out.
    """
    rows = filled.plan.table.rows
    aside = _APART * (place - (len(rows) - 1) / 2)
    marks, intervals = [], []
    for ratio in sorted(filled.plan.recipe.ratios):
        miou = filled.entry(rows[place], ratio).miou
        if miou is None:
            continue
        x = round(axes.x(ratio) + aside, 1)
        marks.append((x, axes.y(miou.mean)))
        if math.isfinite(miou.half):
            intervals.append((x, axes.y(miou.low), axes.y(miou.high)))
    path = "M" + "L".join(f"{x} {y}" for x, y in marks) if len(marks) > 1 else ""
    title = rows[place].title
    return {"name": title, "kind": place % KINDS, "path": path, "marks": marks, "intervals": intervals}
