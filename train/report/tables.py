"""Figures in tables: headline, IoU per class, confusion, comparison of runs, key and value.

Letters: C classes. A confusion matrix is (C,C) int64, rows the truth, columns the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.labels import LabelSpace
from lass3d_core.paper.metrics import accuracy, iou, mean_iou
from train.report.markup import Markup, element, join
from train.report.words import percent

_CELL = 26
_LEFT_OF_CELLS, _ABOVE_CELLS, _BESIDE_CELLS = 92, 76, 64


@dataclass(frozen=True)
class RunResult:
    """What a run reached on one split. name: how the page calls it. matrix: confusion (C,C) int64."""

    name: str
    matrix: np.ndarray


@dataclass(frozen=True)
class Setting:
    """One setting of a run. default: the paper's value in words where this run differs from it, else None."""

    key: str
    value: str
    default: str | None = None


def headline(figures: Sequence[tuple[str, str, str]]) -> Markup:
    """Large figures: (what, figure, how it was measured)."""
    items = [
        element("div", element("dt", what), element("dd", element("strong", figure), element("span", how)))
        for what, figure, how in figures
    ]
    return element("dl", *items, class_="headline")


def per_class_table(results: Sequence[RunResult], space: LabelSpace) -> Markup:
    """IoU per class with bars: the first run in the accent colour, its siblings beside it, then the means."""
    columns = [iou(result.matrix) for result in results]
    occurs = ~np.isnan(columns).all(axis=0)
    truth = results[0].matrix.sum(axis=1)
    head = element(
        "tr",
        element("th", "class", scope="col"),
        element("th", "points", scope="col", class_="number"),
        *[element("th", result.name, scope="col") for result in results],
    )
    rows = [
        element(
            "tr",
            element("th", _swatch(space, label), space.names[label], scope="row"),
            element("td", _share(truth[label], truth.sum()), class_="number"),
            *_bars([column[label] for column in columns]),
        )
        for label in np.flatnonzero(occurs)
    ]
    means = [
        _mean_row("mean over classes that occur", [mean_iou(result.matrix, "dropped") for result in results]),
        _mean_row("mean, absent classes as 0", [mean_iou(result.matrix, "zero") for result in results]),
        _mean_row("points right", [accuracy(result.matrix) for result in results]),
    ]
    body = (element("thead", head), element("tbody", *rows), element("tfoot", *means))
    table = _scrolling(element("table", *body, class_="per-class"), "IoU per class")
    absent = [name for name, present in zip(space.names, occurs) if not present]
    rest = f"Neither true nor predicted: {', '.join(absent)}."
    return join(table, element("p", rest, class_="aside") if absent else None)


def confusion_map(matrix: np.ndarray, space: LabelSpace) -> Markup:
    """The confusion matrix as a heat map in per cent of each row; classes that occur nowhere are left out."""
    kept = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    shares = shares_of_truth(matrix)[np.ix_(kept, kept)]
    names = [space.names[label] for label in kept]
    width, height = _LEFT_OF_CELLS + len(kept) * _CELL + _BESIDE_CELLS, _ABOVE_CELLS + len(kept) * _CELL + 2
    drawing = element(
        "svg",
        *[_column_name(name, column) for column, name in enumerate(names)],
        *[_row_name(name, row) for row, name in enumerate(names)],
        *[_cell(shares[r, c], r, c, names) for r in range(len(kept)) for c in range(len(kept))],
        viewBox=f"0 0 {width} {height}",
        width=width,
        role="img",
        aria_label="Confusion matrix; the largest confusions are listed beside it",
        xmlns="http://www.w3.org/2000/svg",
        class_="confusion",
    )
    return _scrolling(drawing, "Confusion matrix")


def shares_of_truth(matrix: np.ndarray) -> np.ndarray:
    """The confusion matrix (C,C) float64 with each row as shares of it; rows without points are 0."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def settings_table(settings: Sequence[Setting]) -> Markup:
    """Keys and values; a value that differs from the paper's is marked and the paper's stands beside it."""
    rows = [
        element(
            "tr",
            element("th", element("code", setting.key), scope="row"),
            element(
                "td",
                element("span", setting.value, class_="value"),
                element("span", f" paper: {setting.default}", class_="quiet") if setting.default else None,
            ),
            class_="differs" if setting.default else None,
        )
        for setting in settings
    ]
    return element("table", element("tbody", *rows), class_="settings")


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table whose first column names the row, the others flush right."""
    top = [
        element("th", name, scope="col", class_="number" if column else None)
        for column, name in enumerate(head)
    ]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *[element("td", cell, class_="number") for cell in row[1:]],
        )
        for row in rows
    ]
    table = element("table", element("thead", element("tr", *top)), element("tbody", *body), class_="plain")
    return _scrolling(table, head[0])


def _scrolling(content: Markup, name: str) -> Markup:
    """A box in which wide content scrolls sideways, by keyboard too."""
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=name)


def _bars(values: Sequence[float]) -> list[Markup]:
    """A cell with figure and bar per run; the best is bold where it is alone."""
    best = [
        value for value in values if value == max((v for v in values if not math.isnan(v)), default=math.nan)
    ]
    cells = []
    for rank, value in enumerate(values):
        tag = "b" if len(values) > 1 and best == [value] else "span"
        width = 0.0 if math.isnan(value) else 100 * value
        bar = element(
            "span", element("span", class_=f"fill run-{rank}", style=f"width:{width:.1f}%"), class_="bar"
        )
        cells.append(
            element(
                "td", element("span", element(tag, percent(value), class_="figure"), bar, class_="barred")
            )
        )
    return cells


def _mean_row(name: str, values: Sequence[float]) -> Markup:
    return element("tr", element("th", name, scope="row", colspan=2), *_bars(values))


def _swatch(space: LabelSpace, label: int) -> Markup:
    return element("span", class_="swatch", style="background:rgb({} {} {})".format(*space.colours[label]))


def _share(part: int, whole: int) -> str:
    if not part:
        return "–"
    return f"{100 * part / whole:.1f} %" if part >= whole / 1000 else "< 0.1 %"


def _column_name(name: str, column: int) -> Markup:
    x, y = _LEFT_OF_CELLS + column * _CELL + _CELL / 2 + 2, _ABOVE_CELLS - 6
    return element("text", name, x=x, y=y, transform=f"rotate(-45 {x} {y})")


def _row_name(name: str, row: int) -> Markup:
    y = _ABOVE_CELLS + row * _CELL + _CELL / 2
    return element("text", name, x=_LEFT_OF_CELLS - 8, y=y, dy="0.34em", text_anchor="end")


def _cell(share: float, row: int, column: int, names: Sequence[str]) -> Markup:
    x, y, side = _LEFT_OF_CELLS + column * _CELL, _ABOVE_CELLS + row * _CELL, _CELL - 1
    occurs = share >= 0.005
    kind = ("hit" if row == column else "miss") if occurs else "empty"
    depth = f"fill-opacity:{0.08 + 0.92 * share:.2f}" if occurs else None
    tone = "on-dark" if share > 0.5 else "on-light"
    middle = {"x": x + side / 2, "y": y + side / 2, "dy": "0.34em", "text_anchor": "middle"}
    return element(
        "g",
        element("title", f"{share:.1%} of {names[row]} predicted as {names[column]}"),
        element("rect", x=x, y=y, width=side, height=side, class_=kind, style=depth),
        element("text", f"{100 * share:.0f}", **middle, class_=tone) if occurs else None,
    )
