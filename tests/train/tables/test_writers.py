from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from train.tables.command import command_of
from train.tables.csv_files import rows_csv, runs_csv
from train.tables.figures import TableResults
from train.tables.markdown import as_markdown
from train.tables.plot import as_svg
from train.tables.run_figures import CameraShares

Fill = Callable[[Mapping[str, Mapping[int, float]]], TableResults]


def page_of(filled: TableResults) -> str:
    return as_markdown(filled, command_of(filled.plan.table, filled.plan.recipe), "chart.svg")


def line_of(page: str, start: str) -> list[str]:
    """The cells of the first line of a table that starts so."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_means_intervals_and_paired_differences_stand_beside_the_papers_figure(filled_by_hand: Fill) -> None:
    """base 40 and 44; mean 42 and 47: gaps 2 and 3, mean 2.5 -+ 12.706 / 2."""
    page = page_of(filled_by_hand({"base": {0: 40.0, 1: 44.0}, "mean": {0: 42.0, 1: 47.0}}))
    assert line_of(page, "base") == ["base", "33.3", "42.0", "16.6 to 67.4", "2", "", "", "", "", "60.0"]
    assert line_of(page, "mean")[5:9] == ["+2.0, +3.0", "+2.5", "-3.9 to +8.9", "not distinguishable"]
    assert line_of(page, "mean > base") == ["mean > base", "not distinguishable: +2.5 (-3.9 to +8.9)"]


def test_a_row_that_was_not_run_is_empty(filled_by_hand: Fill) -> None:
    page = page_of(filled_by_hand({"base": {0: 40.0}}))
    # Two of three classes are absent, and the official rule counts them 0.
    assert line_of(page, "base")[:5] == ["base", "33.3", "40.0", "", "1"]
    assert line_of(page, "dream") == ["dream", *[""] * 9]
    assert line_of(page, "mean > base") == ["mean > base", "not run"]
    assert "- dream: not built (there is no method method_of_dreams yet)" in page
    assert "- mean, 20 %: not finished: seed 0, 1\n" in page


def test_what_is_not_finished_is_one_line_a_row(filled_by_hand: Fill) -> None:
    filled = filled_by_hand({})
    first, *others = filled.plan.cells
    begun = replace(first, state="unfinished", steps_done=1)
    page = page_of(replace(filled, plan=replace(filled.plan, cells=(begun, *others))))
    assert "- base, 20 %: not finished: seed 0, 1\n" in page


@pytest.mark.parametrize(
    ("of_mean", "said", "against"),
    [
        ({0: 50.0, 1: 54.1}, "holds", "above"),
        ({0: 30.0, 1: 34.1}, "does not hold", "below"),
        ({0: 41.0}, "not distinguishable: +1.0 (one seed)", "not distinguishable"),
    ],
)
def test_a_claim_is_judged_by_the_interval(
    filled_by_hand: Fill, of_mean: dict[int, float], said: str, against: str
) -> None:
    page = page_of(filled_by_hand({"base": {0: 40.0, 1: 44.0}, "mean": of_mean}))
    assert line_of(page, "mean > base")[1].startswith(said)
    assert line_of(page, "mean")[8] == against


def test_accuracy_and_points_in_camera_stand_below_the_figures_where_the_table_says_so(
    filled_by_hand: Fill,
) -> None:
    """In camera base has 20 and 22, mean 24 and 28: gaps 4 and 6, mean 5 -+ 12.706."""
    filled = filled_by_hand({"base": {0: 40.0, 1: 44.0}, "mean": {0: 42.0, 1: 47.0}})
    seen = {("base", 0): 20.0, ("base", 1): 22.0, ("mean", 0): 24.0, ("mean", 1): 28.0}
    figures = {
        key: replace(one, accuracy=90.0 + key[2], camera=CameraShares(1.0, seen[key[0], key[2]], 80.0))
        for key, one in filled.figures.items()
    }
    table = replace(filled.plan.table, in_camera=True)
    page = page_of(replace(filled, figures=figures, plan=replace(filled.plan, table=table)))
    head = "| row | accuracy | minus base | mIoU in camera | minus base | accuracy in camera | minus base |"
    below = page[page.index(head) : page.index("Training: ")]
    assert line_of(below, "base")[1:4] == ["90.5 (84.1 to 96.9)", "", "21.0 (8.3 to 33.7)"]
    assert line_of(below, "mean")[2:5] == [
        "+0.0 (+0.0 to +0.0)",
        "26.0 (0.6 to 51.4)",
        "+5.0 (-7.7 to +17.7)",
    ]
    assert line_of(below, "dream") == ["dream", *[""] * 6]
    assert head not in page_of(replace(filled, figures=figures))
    _, mean, _ = csv.DictReader(io.StringIO(rows_csv(replace(filled, figures=figures))))
    assert (mean["accuracy"], mean["miou_camera"], mean["difference_miou_camera"]) == ("90.5", "26", "5")
    assert mean["difference_miou_camera_low"] == "-7.7062"


def test_steps_and_times_stand_below_the_figures_of_a_ratio(filled_by_hand: Fill) -> None:
    page = page_of(filled_by_hand({"base": {0: 40.0}}))
    figures, training, claims = (page.index(words) for words in ("| dream |", "Training: 2 steps", "> base"))
    assert figures < training < claims
    assert "take 0 s (*base*), without the evaluation.\n\n## " in page[training:claims]


def test_a_table_without_claims_has_no_section_of_them(filled_by_hand: Fill) -> None:
    filled = filled_by_hand({"base": {0: 40.0}})
    silent = replace(filled, plan=replace(filled.plan, table=replace(filled.plan.table, claims=())))
    assert "claims" in page_of(filled)
    assert "claims" not in page_of(silent)


def test_the_page_says_how_to_make_it_and_every_run_again(filled_by_hand: Fill) -> None:
    page = page_of(filled_by_hand({"mean": {1: 42.0}}))
    shared = "schedule.steps=2 net.stem=4 net.encoder=[6,6,6] net.decoder=[6,6,6]"
    assert f"`make table TABLE=2 DATASET=tiny SEEDS=0,1 RATIOS=20 SPLIT=test SET='{shared}'`" in page
    assert (
        "`make train DATASET=tiny METHOD=mean_teacher RATIO=20 SEED=0 "
        f"SET='{shared} method.lambda_consistency=1' TAG=soft`" in page
    )
    assert line_of(page[page.index("## The runs") :], "mean")[1:] == [
        *("20 %", "1", "33.3", "42.0", "2", "2", "1", "0.25", "`111111111111`")
    ]
    for words in ("2 of 10 scans", "`nested`", "test scans", "absent classes dropped", "preset `demo`"):
        assert words in page


def test_csv_files_hold_the_same_figures_and_leave_out_what_is_not_there(filled_by_hand: Fill) -> None:
    filled = filled_by_hand({"base": {0: 40.0, 1: 44.0}, "mean": {0: 42.0, 1: 47.0}})
    base, mean, dream = csv.DictReader(io.StringIO(rows_csv(filled)))
    assert base["miou_official"] == "33.3333"
    assert (base["miou"], base["seeds"], base["paper_miou"], base["difference"]) == ("42", "0 1", "60.0", "")
    assert (mean["difference"], mean["better_than_reference"]) == ("2.5", "not distinguishable")
    assert (dream["miou"], dream["seeds"]) == ("", "")
    assert dream["not_built"].startswith("there is no method")
    runs = list(csv.DictReader(io.StringIO(runs_csv(filled))))
    assert [run["seed"] for run in runs] == ["0", "1", "0", "1"]
    assert {run["labelled_scans"] for run in runs} == {"2"}
    assert runs[0]["miou_official"] == "33.3333"  # two of three classes are absent, and count 0


def test_the_drawing_has_a_dot_per_seed_and_row_and_a_diamond_per_printed_figure(
    filled_by_hand: Fill,
) -> None:
    filled = filled_by_hand({"base": {0: 40.0, 1: 44.0}, "mean": {0: 42.0}})
    marks = [node.get("class") for node in ElementTree.fromstring(as_svg(filled)).iter()]
    assert [marks.count(name) for name in ("seed", "mean", "interval", "paper")] == [3, 2, 1, 1]


def test_an_empty_table_can_be_drawn_and_written(filled_by_hand: Fill) -> None:
    filled = filled_by_hand({})
    assert "None is finished." in page_of(filled)
    assert ElementTree.fromstring(as_svg(filled)).tag.endswith("svg")


def test_the_commands_name_the_manifest_unless_it_is_the_usual_one(filled_by_hand: Fill) -> None:
    filled = filled_by_hand({"base": {0: 40.0}})
    assert "MANIFEST" not in page_of(filled)
    recipe = replace(filled.plan.recipe, manifest_file="my own/data.yaml")
    page = page_of(replace(filled, plan=replace(filled.plan, recipe=recipe)))
    assert "`make table TABLE=2 MANIFEST='my own/data.yaml' DATASET=tiny" in page
    assert "`make train MANIFEST='my own/data.yaml' DATASET=tiny METHOD=supervised" in page
