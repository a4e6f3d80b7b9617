from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lass3d_core.errors import DataError, ManifestError
from lass3d_core.progress.lines import duration
from train.runs.logs import RunLog
from train.runs.pace import Pace
from train.tables.command import seeds_of
from train.tables.every import table_called
from train.tables.plan import Recipe, TablePlan, default_ratios, default_split
from train.tables.rows import Row, Table

Plans = Callable[[Table, Recipe], TablePlan]


def test_a_run_per_row_ratio_and_seed_and_none_for_a_method_that_is_not_built(
    small: Table, recipe: Recipe, plan_of: Plans
) -> None:
    plan = plan_of(small, replace(recipe, ratios=(20.0, 40.0)))
    assert [cell.plan.folder.name for cell in plan.cells if cell.row.title == "mean"] == [
        "mean_teacher-demo-r20-s0-soft",
        "mean_teacher-demo-r20-s1-soft",
        "mean_teacher-demo-r40-s0-soft",
        "mean_teacher-demo-r40-s1-soft",
    ]
    assert len(plan.cells) == 8
    assert {cell.state for cell in plan.cells} == {"missing"}
    assert plan.not_built == {"dream": "there is no method method_of_dreams yet"}


def test_the_rows_of_a_seed_are_all_run_before_the_next_seed(
    small: Table, recipe: Recipe, plan_of: Plans
) -> None:
    assert [cell.seed for cell in plan_of(small, recipe).to_do] == [0, 0, 1, 1]


def test_all_rows_share_the_recipe_and_the_labelled_scans(
    small: Table, recipe: Recipe, plan_of: Plans
) -> None:
    plan = plan_of(small, replace(recipe, tag="wide", settings=(*recipe.settings, "optim.peak_lr=0.02")))
    first, second = (cell for cell in plan.cells if cell.seed == 0)
    assert first.plan.config.optim == second.plan.config.optim
    assert first.plan.config.schedule == second.plan.config.schedule
    assert first.run.split == second.run.split
    assert second.plan.folder.name == "mean_teacher-demo-r20-s0-soft-wide"


def test_a_rows_own_settings_win_and_a_methods_settings_go_to_those_that_have_them(
    small: Table, recipe: Recipe, plan_of: Plans
) -> None:
    settings = (*recipe.settings, "method.lambda_consistency=9", "method.alpha=0.5")
    cells = {cell.row.title: cell for cell in plan_of(small, replace(recipe, settings=settings)).cells}
    assert cells["mean"].plan.config.method.lambda_consistency == 1
    assert cells["base"].plan.config.method.alpha == cells["mean"].plan.config.method.alpha == 0.5


def test_a_setting_that_no_row_has_is_refused(small: Table, recipe: Recipe, plan_of: Plans) -> None:
    with pytest.raises(ManifestError, match=r"no method of this table has method\.alhpa=0\.5"):
        plan_of(small, replace(recipe, settings=("method.alhpa=0.5",)))


def test_a_row_may_take_several_times_the_steps(recipe: Recipe, plan_of: Plans) -> None:
    long = Row("long", "supervised", tag="x3", times_longer=3)
    (cell, _) = plan_of(Table("1", "", (long,), "long", ()), recipe).cells
    assert cell.plan.config.schedule.steps == 6
    assert "schedule.steps=6" in cell.settings


def test_another_run_in_a_folder_is_refused_with_its_difference(
    small: Table, recipe: Recipe, plan_of: Plans
) -> None:
    cell = plan_of(small, recipe).cells[0]
    cell.run.saved.save(cell.run.folder.config)
    wide = replace(recipe, settings=(*recipe.settings, "optim.peak_lr=0.5"))
    refused = plan_of(small, wide).cells[0]
    assert refused.state == "refused"
    assert "peak_lr: 0.01 -> 0.5" in refused.why
    assert refused not in plan_of(small, wide).to_do


def test_a_split_without_labels_is_refused(small: Table, recipe: Recipe, plan_of: Plans) -> None:
    with pytest.raises(DataError, match=r"--split tests: .*known: val, test"):
        plan_of(small, replace(recipe, split="tests"))


def test_a_simulated_world_is_reported_on_test_and_real_data_on_val(recipe: Recipe) -> None:
    real = replace(recipe.spec, simulate=None)
    table = table_called("1")
    assert (default_split(recipe.spec), default_ratios(recipe.spec, table)) == ("test", (2.0,))
    assert (default_split(real), default_ratios(real, table)) == ("val", (1, 10, 20, 50))


@pytest.mark.parametrize("wrong", ["", "0,x", "-1", "1.5", "nan"])
def test_wrong_seeds_are_one_line(wrong: str) -> None:
    with pytest.raises(ManifestError, match="--seeds"):
        seeds_of(wrong)
    assert seeds_of("3,1,3") == (3, 1)


def log_of(folder: Path, seconds: float) -> None:
    with RunLog(folder, 0) as log:
        for step in range(2):
            log.write(step, {"loss": 1.0, "seconds": seconds})


def test_times_come_from_finished_steps_of_the_closest_kin(
    small: Table, recipe: Recipe, plan_of: Plans
) -> None:
    plan = plan_of(small, recipe)
    runs = recipe.manifest.runs / recipe.dataset
    assert Pace.of(runs).left([cell.work for cell in plan.to_do]) is None
    base, mean = (next(c for c in plan.cells if c.row.title == title) for title in ("base", "mean"))
    for cell, seconds in ((base, 3.0), (mean, 5.0)):
        cell.run.saved.save(cell.run.folder.config)
        log_of(cell.plan.folder, seconds)
    pace = Pace.of(runs)
    assert (pace.per_step(base.plan.config), pace.per_step(mean.plan.config), pace.runs) == (3.0, 5.0, 2)
    assert pace.left([cell.work for cell in plan.to_do], 2) == 2 * (2 * 3.0 + 2 * 5.0) / 2
    other = replace(mean.plan.config, method=replace(mean.plan.config.method, alpha=0.5))
    assert pace.per_step(other) == 5.0
    assert pace.per_step(replace(other, net=replace(other.net, stem=5))) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (40.4, "40 s"), (700.0, "12 min"), (12_000.0, "3 h 20 min"), (2e6, "23 days")],
)
def test_durations_in_words(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
