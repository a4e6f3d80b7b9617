from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from train.tables.effort import Effort, effort_line
from train.tables.figures import TableResults
from train.tables.plan import Recipe, TablePlan
from train.tables.rows import Row, Table
from train.tables.run_figures import RunFigures

Fill = Callable[[Mapping[str, Mapping[int, float]]], TableResults]
Plans = Callable[[Table, Recipe], TablePlan]


def test_scans_are_counted_by_hand(filled_by_hand: Fill) -> None:
    """2 steps of 2 of the 2 labelled scans are two rounds; of 2 of the 8 unlabelled ones, half a round."""
    plan = filled_by_hand({}).plan
    mean = next(cell for cell in plan.cells if cell.row.title == "mean")
    assert Effort.of(mean) == (2, 2, 2, False, 2.0, 0.5)
    assert effort_line(filled_by_hand({}), 20.0) == (
        "Training: 2 steps of 2 labelled and 2 unlabelled scans; each labelled one is seen 2 times, each "
        "unlabelled one 0.5 times. Other than that, *base*: labels alone."
    )


def test_micro_batches_count_and_rows_of_the_same_effort_share_their_words(
    recipe: Recipe, plan_of: Plans
) -> None:
    rows = (
        Row("a", "mean_teacher", tag="a"),
        Row("long", "mean_teacher", tag="long", times_longer=3),
        Row("b", "mean_teacher", tag="b"),
    )
    table = Table("9", "", rows, "a", ())
    recipe = replace(recipe, settings=(*recipe.settings, "data.accumulate=4"), ratios=(40.0,))
    assert effort_line(TableResults(plan_of(table, recipe), {}), 40.0) == (
        "Training: 2 steps of 8 labelled and 8 unlabelled scans; each labelled one is seen 4 times, each "
        "unlabelled one 2.7 times. Other than that, *long*: 6 steps, each labelled scan seen 12 times, each "
        "unlabelled one 8 times."
    )


def test_a_panorama_is_no_single_scan(recipe: Recipe, plan_of: Plans) -> None:
    rows = (Row("plus", "lass3d_plus"), Row("whole", "lass3d_plus", ("data.panorama=false",), "whole"))
    recipe = replace(recipe, settings=(*recipe.settings, "data.panorama=true"))
    line = effort_line(TableResults(plan_of(Table("9", "", rows, "plus", ()), recipe), {}), 20.0)
    assert "each unlabelled one 0.5 times, in panoramas that begin with it. " in line
    assert line.endswith("Other than that, *whole*: single unlabelled scans.")


def test_the_time_of_a_run_is_its_steps_times_the_seconds_of_one(filled_by_hand: Fill) -> None:
    filled = filled_by_hand({"base": {0: 40.0, 1: 40.0}, "mean": {0: 41.0}})
    slow = {
        key: replace(one, steps=100, seconds=9.0 if key[0] == "mean" else 1.0 + key[2])
        for key, one in filled.figures.items()
    }
    line = effort_line(replace(filled, figures=slow), 20.0)
    assert line.endswith(" The steps of a run take 2 min (*base*), 15 min (*mean*), without the evaluation.")


def test_of_many_rows_the_shortest_and_the_longest_time_are_named(recipe: Recipe, plan_of: Plans) -> None:
    rows = tuple(Row(name, "supervised", tag=name) for name in "abcdefg")
    plan = plan_of(Table("9", "", rows, "a", ()), recipe)
    figures = {(name, 20.0, 0): costly(100 * place) for place, name in enumerate("gfedcba", start=1)}
    line = effort_line(TableResults(plan, figures), 20.0)
    assert line.endswith(" The steps of a run take 2 min (*g*) to 12 min (*a*), without the evaluation.")


def test_a_ratio_without_a_run_has_no_line(filled_by_hand: Fill) -> None:
    assert effort_line(filled_by_hand({}), 50.0) == ""


def costly(seconds: float) -> RunFigures:
    reached = (1.0, 1.0, 1.0, "zero", ())
    return RunFigures("0" * 64, "test", *reached, 2, 2, 1, 1.0, 1.0, seconds)


@pytest.mark.parametrize(("steps", "words"), [(1, "once"), (2, "2 times"), (25, "25 times")])
def test_times_in_words(recipe: Recipe, plan_of: Plans, steps: int, words: str) -> None:
    """2 of 10 scans are labelled, 2 a step: each is seen once a step."""
    table = Table("9", "", (Row("a", "supervised"),), "a", ())
    recipe = replace(recipe, settings=(*recipe.settings, f"schedule.steps={steps}"))
    assert f"each labelled one is seen {words}." in effort_line(
        TableResults(plan_of(table, recipe), {}), 20.0
    )
