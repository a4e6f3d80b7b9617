"""A table over ratios: cells that cannot be run are left out one by one, and the rest is drawn as lines."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lass3d_core.errors import DataError
from train.__main__ import main
from train.runs.pace import Pace
from train.tables.command import said, write
from train.tables.csv_files import rows_csv
from train.tables.every import table_called
from train.tables.figures import TableResults
from train.tables.markdown import as_markdown
from train.tables.plan import Recipe, TablePlan, TableRun, default_ratios
from train.tables.ratio_plot import BOTTOM, LEFT, RIGHT, TOP, as_curve
from train.tables.rows import Table
from train.tables.run_figures import RunFigures

Plans = Callable[[Table, Recipe], TablePlan]
SVG = "{http://www.w3.org/2000/svg}"
RATIO = table_called("ratio")


def figures(miou: float) -> RunFigures:
    reached = (miou, miou, miou, "zero", ())
    return RunFigures("0" * 64, "test", *reached, 2, 2, 2, 1.0, 1.0, 0.5)


@pytest.fixture
def filled(recipe: Recipe, plan_of: Plans) -> TableResults:
    """Row r at ratio p and seed s reaches 20 + 10 r + 10 log10 p + s; every second scan can be labelled."""
    plan = plan_of(RATIO, replace(recipe, ratios=(10.0, 50.0, 100.0)))
    places = {row.title: place for place, row in enumerate(RATIO.rows)}
    reached = {
        (cell.row.title, cell.ratio, cell.seed): figures(
            20 + 10 * places[cell.row.title] + 10 * math.log10(cell.ratio) + cell.seed
        )
        for cell in plan.cells
    }
    return TableResults(plan, reached)


def elements(drawing: str, kind: str, name: str) -> list[dict[str, str]]:
    """The attributes of each element of a kind with a class, without the legend's."""
    found = ElementTree.fromstring(drawing).iter(f"{SVG}{kind}")
    return [dict(one.attrib) for one in found if name in one.get("class", "").split()]


def test_at_100_percent_only_supervised_only_has_a_run(recipe: Recipe, plan_of: Plans) -> None:
    plan = plan_of(RATIO, replace(recipe, ratios=(20.0, 100.0)))
    assert [cell.row.title for cell in plan.cells if cell.ratio == 100] == ["supervised only"] * 2
    assert len(plan.cells) == 2 * 4 + 2
    assert set(plan.left_out) == {(row.title, 100.0) for row in RATIO.rows[1:]}
    assert plan.left_out["LASS3D", 100.0] == (
        "ratio 100 leaves no unlabelled scan, which lass3d needs; take a smaller ratio, or METHOD=supervised"
    )
    assert "10 runs, 10 missing; 3 cells not built" in said(plan, Pace({}, 0), 1)


def test_a_cell_that_cannot_be_run_stands_in_the_table_with_its_reason(filled: TableResults) -> None:
    page = as_markdown(filled, "make table", "chart.svg")
    whole = page[page.index("## 100 % labelled (10 of 10 scans)") : page.index("## Not in the table")]
    assert "| LASS3D | not built |" in whole
    assert "| supervised only | 40.5 | 40.5 |" in whole
    assert "- LASS3D+, 100 %: not built (ratio 100 leaves no unlabelled scan" in page
    assert "not built" not in page[: page.index("## 100 %")]
    assert rows_csv(filled).count("leaves no unlabelled scan") == 3


def test_a_ratio_that_labels_no_scan_is_left_out_unless_there_is_no_other(
    recipe: Recipe, plan_of: Plans
) -> None:
    plan = plan_of(RATIO, replace(recipe, ratios=(3.0, 20.0)))
    assert {cell.ratio for cell in plan.cells} == {20.0}
    assert "labels none" in plan.left_out["supervised only", 3.0]
    with pytest.raises(DataError, match="labels none"):
        plan_of(RATIO, replace(recipe, ratios=(3.0,)))


def test_rooms_have_no_row_of_lasermix(recipe: Recipe) -> None:
    assert [row.title for row in RATIO.rows if row.world == "outdoors"] == ["LaserMix (voxel)"]
    real = replace(recipe.spec, simulate=None)
    assert default_ratios(recipe.spec, RATIO) == (1, 2, 5, 10, 20, 50, 100)
    assert default_ratios(real, RATIO) == (1, 10, 20, 50, 100)


def test_the_plan_of_the_default_ratios_names_the_cells_that_are_not_built(
    tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tiny.arguments("table", "--table", "ratio", "--seeds", "0", "--plan")) == 0
    out = capsys.readouterr().out
    assert "LASS3D, 100 %: not built (ratio 100 leaves no unlabelled scan" in out
    assert "supervised only, 1 %: not built (1 % of 10 training scans labels none" in out
    assert "13 runs, 13 missing; 15 cells not built" in out  # 10, 20, 50 % of four rows, and one at 100 %


def test_marks_stand_where_the_logarithm_of_the_ratio_and_the_mean_say(filled: TableResults) -> None:
    """10, 50 and 100 %: 50 lies at log 5 of the way. The means are 20.5 + 10 r + 10 log10 p."""
    drawing = as_curve(filled)
    paths = [one["d"] for one in elements(drawing, "path", "line")]
    rows = [[tuple(map(float, point.split())) for point in path[1:].split("L")] for path in paths]
    assert [len(row) for row in rows] == [3, 2, 2, 2]
    first = rows[0]
    way = (first[1][0] - first[0][0]) / (first[2][0] - first[0][0])
    assert way == pytest.approx(math.log10(5), abs=1e-3)
    # From 10 to 100 % the mean rises by 10 points, as from one row to the next.
    step = first[0][1] - first[2][1]
    assert step > 0
    assert [row[0][1] for row in rows] == pytest.approx([first[0][1] - r * step for r in range(4)], abs=0.2)
    assert all(LEFT < x < RIGHT and TOP < y < BOTTOM for row in rows for x, y in row)


def test_every_row_has_a_colour_and_a_mark_of_its_own_and_intervals_do_not_lie_on_each_other(
    filled: TableResults,
) -> None:
    drawing = as_curve(filled)
    for place, count in enumerate((3, 2, 2, 2)):
        assert len(elements(drawing, "path", f"mark-{place}")) == count + 1  # one in the legend
        assert len(elements(drawing, "line", f"interval-{place}")) == count
        assert f".line-{place}, .interval-{place} {{ stroke: #" in drawing
    at = [one["x1"] for one in elements(drawing, "line", "interval")]
    assert len(set(at)) == len(at) == 9
    shapes = {re.sub(r"M[\d.]+ [\d.]+", "", one["d"]) for one in elements(drawing, "path", "mark")}
    assert len(shapes) == 4


def test_the_dashed_line_is_supervised_only_with_all_labels(filled: TableResults) -> None:
    drawing = as_curve(filled)
    (full,) = elements(drawing, "line", "full")
    last = elements(drawing, "path", "line")[0]["d"].split("L")[-1]
    assert full["y1"] == full["y2"] == last.split()[1]
    assert "supervised only, all labels: 40.5" in drawing
    without = {key: one for key, one in filled.figures.items() if key[1] < 100}
    assert elements(as_curve(replace(filled, figures=without)), "line", "full") == []


def test_a_row_that_is_not_built_has_no_mark_and_the_others_keep_theirs(filled: TableResults) -> None:
    plan = replace(filled.plan, not_built={"LaserMix (voxel)": "for outdoors alone"})
    drawing = as_curve(TableResults(plan, filled.figures))
    assert [len(elements(drawing, "path", f"mark-{kind}")) for kind in range(4)] == [4, 0, 3, 3]
    assert "LaserMix" not in drawing


def test_one_ratio_and_no_figures_can_be_drawn_too(recipe: Recipe, plan_of: Plans) -> None:
    empty = TableResults(plan_of(RATIO, recipe), {})
    drawing = as_curve(empty)
    assert len(elements(drawing, "path", "mark")) == 4  # the legend
    assert ">20 %<" in drawing


def test_the_command_writes_the_curve(
    recipe: Recipe, plan_of: Plans, finish: Callable[[TableRun, int], None], tmp_path: Path
) -> None:
    wide = replace(recipe, ratios=(10.0, 100.0), seeds=(0,))
    for draw, cell in enumerate(plan_of(RATIO, wide).cells):
        finish(cell, draw)
    page = write(plan_of(RATIO, wide), tmp_path)
    assert page.name == "table-ratio-test.md"
    assert "all labels: " in (tmp_path / "tiny" / "table-ratio-test.svg").read_text()
