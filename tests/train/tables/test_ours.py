"""The tables that are not the paper's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from train.tables.every import table_called
from train.tables.ours import FULL, HARD_WORDS, TABLES
from train.tables.plan import Recipe, TablePlan
from train.tables.rows import Table


def test_the_table_of_real_frames_has_the_controls_that_a_critic_asks_for() -> None:
    table = table_called("real")
    assert [row.title for row in table.rows] == [
        "supervised only",
        "supervised only, 3 times the steps",
        "Mean Teacher",
        "LaserMix (voxel)",
        "LASS3D",
        "LASS3D+ without text",
        "the words as hard labels",
        "LASS3D+",
        "LASS3D+ without text, bands exchanged",
        "LASS3D+, bands exchanged",
    ]
    assert table.reference == "LASS3D+, bands exchanged"


def test_full_supervision_has_all_labels_at_every_ratio(
    recipe: Recipe, plan_of: Callable[[Table, Recipe], TablePlan]
) -> None:
    plan = plan_of(table_called("plus"), recipe)
    of_full = [cell for cell in plan.cells if cell.row == FULL]
    assert [cell.ratio for cell in of_full] == [ratio for ratio in recipe.ratios for _ in recipe.seeds]
    for cell in of_full:
        assert not cell.run.split.unlabelled and cell.plan.folder.name.startswith("supervised-demo-r100-")
    assert all(cell.run.split.unlabelled for cell in plan.cells if cell.row != FULL)


@pytest.mark.parametrize("name", TABLES)
def test_our_tables_show_no_figure_of_the_paper(name: str) -> None:
    assert not table_called(name).shows_paper and table_called("1").shows_paper


def test_every_row_of_real_frames_is_planned(
    recipe: Recipe, plan_of: Callable[[Table, Recipe], TablePlan]
) -> None:
    table = table_called("real")
    plan = plan_of(table, recipe)
    planned = {cell.row.title: cell.plan.config for cell in plan.cells}
    assert planned.keys() == {row.title for row in table.rows}
    assert planned["LaserMix (voxel)"].net.view == "voxel"
    longer, plain = planned["supervised only, 3 times the steps"], planned["supervised only"]
    assert longer.schedule.steps == 3 * plain.schedule.steps
    assert planned[HARD_WORDS.title].method.targets == "words" and not plan.not_built
