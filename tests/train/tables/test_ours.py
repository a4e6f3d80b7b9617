"""The tables that are not the paper's."""

from __future__ import annotations

from collections.abc import Callable

from train.tables.every import table_called
from train.tables.ours import HARD_WORDS
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
    ]
    assert table.reference == "LASS3D+"


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
