"""The tables as data: they fit the paper, and the methods that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lass3d_core.errors import UnknownName
from train.methods import METHODS
from train.tables.every import TABLES, table_called
from train.tables.paper import FIGURE_7, LASS3D, SUPERVISED
from train.tables.plan import Recipe, TablePlan, why_not_built
from train.tables.rows import PAPER_RATIOS, Claim, Table, nearest_ratio

EVERY = list(TABLES.values())


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)
def test_supervised_only_stands_in_every_table_and_the_claims_name_its_rows(table: Table) -> None:
    titles = [row.title for row in table.rows]
    assert SUPERVISED in table.rows
    assert len(set(titles)) == len(titles)
    assert {table.reference} | {title for one in table.claims for title in (one.better, one.worse)} <= {
        *titles
    }


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)
def test_every_printed_row_has_a_figure_per_ratio(table: Table) -> None:
    for row in table.rows:
        for benchmark, figures in row.paper.items():
            assert len(figures) == len(PAPER_RATIOS[benchmark])


def test_each_claim_of_the_ablations_agrees_with_the_printed_figures() -> None:
    for table in EVERY[1:7]:
        for claim in table.claims:
            better, worse = (
                next(row for row in table.rows if row.title == title) for title in (claim.better, claim.worse)
            )
            pairs = zip(better.paper["SemanticKITTI"], worse.paper["SemanticKITTI"], strict=True)
            assert all(ours > theirs for ours, theirs in pairs), claim


def test_rows_that_share_method_and_tag_are_the_same_runs() -> None:
    seen: dict[tuple[str, str | None], tuple[object, ...]] = {}
    for table in EVERY:
        for row in table.rows:
            settings = (row.settings, row.times_longer)
            assert seen.setdefault((row.method, row.tag), settings) == settings, row.title


def test_five_iterations_are_lass3d_itself_and_none_is_table_2_without_pe() -> None:
    rows = {row.title: row for row in FIGURE_7.rows}
    assert replace(rows["5 iterations"], title="LASS3D") == LASS3D
    assert rows["0 iterations"].settings == ("method.pe=false",)
    assert rows["0 iterations"].paper["SemanticKITTI"][0] == 55.6


def test_every_row_of_a_built_method_can_be_run(recipe: Recipe) -> None:
    reasons = {
        row.title: why_not_built(row, recipe)
        for table in EVERY
        for row in table.rows
        if row.method in METHODS and row.world in (None, recipe.world)
    }
    assert {title: why for title, why in reasons.items() if why} == {}


def test_the_range_view_is_compared_with_labels_alone_in_the_range_view(
    recipe: Recipe, plan_of: Callable[[Table, Recipe], TablePlan]
) -> None:
    table = table_called("1")
    control, rival = table.row("supervised only (range view)"), table.row("LaserMix (range view)")
    assert Claim(rival.title, control.title) in table.claims
    views = [
        cell.plan.config.net.view for cell in plan_of(table, recipe).cells if cell.row in (control, rival)
    ]
    assert views and set(views) == {"range"}
    assert (control.method, control.world, control.paper) == ("supervised", "outdoors", {})


def test_a_method_for_one_world_is_not_run_in_the_other(recipe: Recipe) -> None:
    sss_net = table_called("1").row("SSS-Net")
    assert why_not_built(sss_net, recipe) == "the method is for indoors alone"


def test_the_rows_of_table_2_without_kl_have_no_path_for_text(
    recipe: Recipe, plan_of: Callable[[Table, Recipe], TablePlan]
) -> None:
    plan = plan_of(table_called("2"), recipe)
    for title in ("CE_l", "CE_l + CE_u"):
        method = next(cell for cell in plan.cells if cell.row.title == title).plan.config.method
        assert (method.transfer, method.lambda_align, method.distils, method.mines) == (
            "alignment",
            0,
            False,
            False,
        )


@pytest.mark.parametrize(("ratio", "nearest"), [(2.0, 1), (3.0, 1), (4.0, 10), (20.0, 20), (99.0, 50)])
def test_the_nearest_ratio_is_nearest_by_the_quotient(ratio: float, nearest: float) -> None:
    assert nearest_ratio("SemanticKITTI", ratio) == nearest


def test_figures_of_scannet_stand_beside_rooms_where_the_paper_prints_any() -> None:
    assert table_called("1").benchmark("indoors") == "ScanNet"
    assert table_called("1").benchmark("outdoors") == "SemanticKITTI"
    assert LASS3D.papers("ScanNet", 30) == 70.4


def test_an_unknown_table_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"'fig8'.*known: 1, 2.*did you mean 'fig7'"):
        table_called("fig8")
