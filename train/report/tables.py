"""Figures in tables: headline, IoU per class, confusion, comparison of runs, key and value.

Letters: C classes. A confusion matrix is (C,C) int64, rows the truth, columns the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.labels import LabelSpace
from lass3d_core.metrics import accuracy, iou, mean_iou
from train.report.markup import Markup, element

_CELL = 26
_LEFT_OF_CELLS, _ABOVE_CELLS = 104, 92


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


def percent(share: float) -> str:
    """A share in [0,1] as percent with one decimal, an en dash where there is none."""
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def headline(figures: Sequence[tuple[str, str, str]]) -> Markup:
    """Large figures: (what, figure, how it was measured)."""
    items = [
        element("div", element("dt", what), element("dd", element("strong", figure), element("span", how)))
        for what, figure, how in figures
    ]
    return element("dl", *items, class_="headline")


def per_class_table(results: Sequence[RunResult], space: LabelSpace) -> Markup:
    """IoU per class with bars, the first run in the accent colour, its siblings beside it, and both means."""
    columns = [iou(result.matrix) for result in results]
    truth = results[0].matrix.sum(axis=1)
    head = element(
        "tr",
        element("th", "Class", scope="col"),
        element("th", "Points", scope="col", class_="number"),
        *[element("th", result.name, scope="col") for result in results],
    )
    rows = [
        element(
            "tr",
            element("th", _swatch(space, label), space.names[label], scope="row"),
            element("td", _share(truth[label], truth.sum()), class_="number"),
            *_bars([column[label] for column in columns]),
            class_="absent-class" if all(math.isnan(column[label]) for column in columns) else None,
        )
        for label in range(len(space.names))
    ]
    means = [
        _mean_row("Mean IoU, an absent class counts 0", [mean_iou(r.matrix, "zero") for r in results]),
        _mean_row("Mean IoU over the classes present", [mean_iou(r.matrix, "dropped") for r in results]),
        _mean_row("Share of points right", [accuracy(r.matrix) for r in results]),
    ]
    table = element(
        "table", element("thead", head), element("tbody", *rows), element("tfoot", *means), class_="per-class"
    )
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label="IoU per class")


def confusion_map(matrix: np.ndarray, space: LabelSpace) -> Markup:
    """The confusion matrix as a heat map, each row in shares of the true class; classes that occur nowhere left out."""
    kept = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    counts = matrix[np.ix_(kept, kept)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [space.names[label] for label in kept]
    size = len(kept) * _CELL
    drawing = element(
        "svg",
        *[_column_name(name, column) for column, name in enumerate(names)],
        *[_row_name(name, row) for row, name in enumerate(names)],
        *[_cell(shares[r, c], r, c, names) for r in range(len(kept)) for c in range(len(kept))],
        viewBox=f"0 0 {_LEFT_OF_CELLS + size + 40} {_ABOVE_CELLS + size + 4}",
        width=_LEFT_OF_CELLS + size + 40,
        role="img",
        aria_label=_worst_confusions(shares, names),
        xmlns="http://www.w3.org/2000/svg",
        class_="confusion",
    )
    return element("div", drawing, class_="scroll", tabindex=0, role="region", aria_label="Confusion matrix")


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
    """A table whose first column names the row; cells that look like numbers are set flush right."""
    top = element(
        "tr",
        *[element("th", name, scope="col", class_="number" if i else None) for i, name in enumerate(head)],
    )
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *[element("td", cell, class_="number") for cell in row[1:]],
        )
        for row in rows
    ]
    table = element("table", element("thead", top), element("tbody", *body), class_="plain")
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=head[0])


def _bars(values: Sequence[float]) -> list[Markup]:
    best = max((value for value in values if not math.isnan(value)), default=math.nan)
    cells = []
    for rank, value in enumerate(values):
        width = 0.0 if math.isnan(value) else 100 * value
        number = element(
            "b" if value == best and len(values) > 1 else "span", percent(value), class_="figure"
        )
        bar = element(
            "span", element("span", class_=f"fill run-{rank}", style=f"width:{width:.1f}%"), class_="bar"
        )
        cells.append(element("td", element("span", number, bar, class_="barred")))
    return cells


def _mean_row(name: str, values: Sequence[float]) -> Markup:
    return element("tr", element("th", name, scope="row", colspan=2), *_bars(values))


def _swatch(space: LabelSpace, label: int) -> Markup:
    return element("span", class_="swatch", style="background:rgb({} {} {})".format(*space.colours[label]))


def _share(part: float, whole: float) -> str:
    if not part:
        return "–"
    share = 100 * part / whole
    return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


def _column_name(name: str, column: int) -> Markup:
    x = _LEFT_OF_CELLS + column * _CELL + _CELL / 2 + 4
    y = _ABOVE_CELLS - 6
    return element("text", name, x=x, y=y, transform=f"rotate(-45 {x} {y})")


def _row_name(name: str, row: int) -> Markup:
    y = _ABOVE_CELLS + row * _CELL + _CELL / 2
    return element("text", name, x=_LEFT_OF_CELLS - 8, y=y, dy="0.34em", text_anchor="end")


def _cell(share: float, row: int, column: int, names: Sequence[str]) -> Markup:
    x, y = _LEFT_OF_CELLS + column * _CELL, _ABOVE_CELLS + row * _CELL
    kind = "hit" if row == column else "miss"
    words = f"{share:.1%} of {names[row]} predicted as {names[column]}"
    square = element(
        "rect", x=x, y=y, width=_CELL - 1, height=_CELL - 1, class_="empty" if share < 0.005 else kind,
        style=None if share < 0.005 else f"fill-opacity:{0.08 + 0.92 * share:.2f}",
    )  # fmt: skip
    text = element(
        "text", f"{100 * share:.0f}", x=x + (_CELL - 1) / 2, y=y + _CELL / 2, dy="0.34em", text_anchor="middle",
        class_="on-dark" if share > 0.5 else "on-light",
    )  # fmt: skip
    return element("g", element("title", words), square, text if share >= 0.005 else None)


def _worst_confusions(shares: np.ndarray, names: Sequence[str]) -> str:
    wrong = shares * (1 - np.eye(len(names)))
    order = np.argsort(-wrong, axis=None)[:3]
    worst = [divmod(int(index), len(names)) for index in order]
    listed = "; ".join(
        f"{names[r]} taken for {names[c]} {wrong[r, c]:.0%}" for r, c in worst if wrong[r, c] > 0
    )
    return f"Confusion matrix, rows true, columns predicted. Largest confusions: {listed or 'none'}"
