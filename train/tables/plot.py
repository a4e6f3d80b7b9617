"""A table of the paper as a drawing: a line per row, a panel per ratio; a dot per seed, mean and interval."""

from __future__ import annotations

import math
from collections.abc import Callable

from train.report.curves import ticks
from train.report.markup import Markup, element, join
from train.tables.figures import RowResult, TableResults
from train.tables.rows import nearest_ratio

_NAMES, _PANEL, _GAP, _LINE = 230, 260, 24, 26
_TOP, _BOTTOM = 56, 46
_LEAST = 640  # so that the heading and the key fit beside a single panel
_STYLE = Markup(
    "<style>"
    "svg{font:12px system-ui,sans-serif;color:#171a1e;background:#fcfcfb}"
    "text{fill:currentColor}.quiet{fill:#59626d}.grid{stroke:#dcdfe2}"
    ".interval{stroke:#00707a;stroke-width:2}.mean{fill:#00707a}.seed{fill:#fcfcfb;stroke:#00707a}"
    ".paper{fill:none;stroke:#a3470b;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){svg{color:#e4e7ea;background:#121518}.quiet{fill:#98a2ad}"
    ".grid{stroke:#2c3238}.interval{stroke:#58c4c9}.mean{fill:#58c4c9}.seed{fill:#121518;stroke:#58c4c9}.paper{stroke:#f0a565}}"
    "</style>"
)


def as_svg(filled: TableResults) -> str:
    """The drawing, for any browser; the paper's figures are hollow diamonds."""
    table, recipe = filled.plan.table, filled.plan.recipe
    width = max(_NAMES + len(recipe.ratios) * (_PANEL + _GAP), _LEAST)
    height = _TOP + len(table.rows) * _LINE + _BOTTOM
    names = [
        element("text", row.title, x=_NAMES - 12, y=_y(index), dy="0.34em", text_anchor="end")
        for index, row in enumerate(table.rows)
    ]
    panels = [
        element("g", _panel(filled, ratio), transform=f"translate({_NAMES + index * (_PANEL + _GAP)} 0)")
        for index, ratio in enumerate(recipe.ratios)
    ]
    title = f"{table.heading}: {table.title}, on {recipe.dataset}, mIoU in per cent on {recipe.split}"
    return element(
        "svg",
        _STYLE,
        element("title", title),
        element("text", title, x=12, y=20),
        *names,
        *panels,
        element("text", _KEY, x=12, y=height - 10, class_="quiet"),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        xmlns="http://www.w3.org/2000/svg",
    )


_KEY = "dot: mean; bar: its 95 % interval; small dots: seeds; diamond: the paper, on its own data"


def _panel(filled: TableResults, ratio: float) -> Markup:
    """One ratio: the axis, and what every row reached."""
    table = filled.plan.table
    benchmark = table.benchmark(filled.plan.recipe.world)
    papers = nearest_ratio(benchmark, ratio)
    entries = [filled.entry(row, ratio) for row in table.rows]
    printed = [row.papers(benchmark, papers) for row in table.rows]
    low, high = _range(entries, printed)

    def x(value: float) -> float:
        return (min(max(value, low), high) - low) / (high - low) * _PANEL

    bottom = _TOP + len(entries) * _LINE
    axis = [
        join(
            element("line", x1=f"{x(value):.1f}", x2=f"{x(value):.1f}", y1=_TOP, y2=bottom, class_="grid"),
            element("text", f"{value:g}", x=f"{x(value):.1f}", y=bottom + 16, text_anchor="middle"),
        )
        for value in ticks(low, high)
    ]
    marks = []
    for index, (entry, papers_miou) in enumerate(zip(entries, printed)):
        marks.append(_marks(entry, index, x))
        if papers_miou is not None:
            at = f"{x(papers_miou):.1f} {_y(index)}"
            marks.append(element("path", d=f"M{at}m0-5l5 5l-5 5l-5-5z", class_="paper"))
    heading = f"{ratio:g} % labelled; paper: {benchmark} {papers:g} %"
    return join(element("text", heading, x=0, y=_TOP - 14, class_="quiet"), *axis, *marks)


def _marks(entry: RowResult, index: int, x: Callable[[float], float]) -> Markup:
    """Seeds, interval and mean of one row."""
    y, miou = _y(index), entry.miou
    if miou is None:
        return Markup()
    bar = None
    if not math.isinf(miou.half):
        ends = {"x1": f"{x(miou.low):.1f}", "x2": f"{x(miou.high):.1f}"}
        bar = element("line", y1=y, y2=y, class_="interval", **ends)
    seeds = [
        element("circle", cx=f"{x(value):.1f}", cy=y, r=2.5, class_="seed") for value in entry.values.values()
    ]
    return join(bar, *seeds, element("circle", cx=f"{x(miou.mean):.1f}", cy=y, r=4.5, class_="mean"))


def _range(entries: list[RowResult], printed: list[float | None]) -> tuple[float, float]:
    """From the least to the largest figure, with some room; wide intervals are cut off there."""
    shown = [value for entry in entries for value in entry.values.values()]
    shown += [value for value in printed if value is not None]
    if not shown:
        return 0.0, 100.0
    around = 0.15 * (max(shown) - min(shown)) + 2.0
    return min(shown) - around, max(shown) + around


def _y(index: int) -> float:
    return _TOP + (index + 0.5) * _LINE
