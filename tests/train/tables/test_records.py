"""Figures that are recorded take the place of a run, and only of that run; damage in them is one line."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import CorruptArtifact, DataError, Lass3dError
from train.__main__ import main
from train.data.paired_scans import PairedScans
from train.runs.side_by_side import Outcome, PlannedRun
from train.tables import command
from train.tables.command import make_table, planned, write
from train.tables.figures import TableResults
from train.tables.plan import Recipe, TablePlan, TableRun, plan_table
from train.tables.records import Records, cells_of, checksum, figures_in, recorded_lines
from train.tables.rows import Table
from train.tables.run_figures import CameraShares, RunFigures

Finish = Callable[[TableRun, int], None]
Plans = Callable[..., TablePlan]
RUNS = "table-2-test-runs.csv"


@pytest.fixture
def plan_with(tiny: Any) -> Plans:
    """The plan of a table on the tiny project, with the records of a folder."""

    def plan(table: Table, recipe: Recipe, folder: Path | None = None) -> TablePlan:
        records = Records.read(folder) if folder else None
        return plan_table(table, recipe, PairedScans.open(tiny.artifacts), records)

    return plan


@pytest.fixture
def record(small: Table, recipe: Recipe, plan_with: Plans, finish: Finish, tmp_path: Path) -> Path:
    """A folder with the figures of the small table's four runs, which are no longer there."""
    for draw, cell in enumerate(plan_with(small, recipe).cells):
        finish(cell, draw)
    write(plan_with(small, recipe), tmp_path / "figures")
    shutil.rmtree(recipe.manifest.runs)
    return tmp_path / "figures"


def states(plan: TablePlan) -> list[str]:
    return [cell.state for cell in plan.cells]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("draw", range(4))
def test_a_table_from_records_alone_is_the_table_from_the_runs_byte_for_byte(
    small: Table, recipe: Recipe, plan_with: Plans, finish: Finish, tmp_path: Path, draw: int
) -> None:
    rng, recipe = np.random.default_rng(draw), replace(recipe, ratios=(20.0, 40.0), seeds=(0, 1, 2))
    cells = plan_with(small, recipe).cells
    done = [cell for cell in cells if rng.random() < 0.7]
    for place, cell in enumerate(done):
        finish(cell, 100 * draw + place)
    write(plan_with(small, recipe), tmp_path / "figures")
    first = contents(recipe.manifest.runs / "tiny" / "tables")
    assert contents(tmp_path / "figures" / "tiny") == first
    shutil.rmtree(recipe.manifest.runs)
    plan = plan_with(small, recipe, tmp_path / "figures")
    assert states(plan).count("recorded") == len(done)
    assert len(plan.to_do) == len(cells) - len(done)
    write(plan, tmp_path / "figures")
    assert contents(recipe.manifest.runs / "tiny" / "tables") == first
    assert contents(tmp_path / "figures" / "tiny") == first


def test_both_splits_of_a_run_are_recorded_so_another_table_shows_the_other(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path
) -> None:
    assert states(plan_with(small, recipe, record)) == ["recorded"] * 4
    on_val = plan_with(small, replace(recipe, split="val"), record)
    assert states(on_val) == ["recorded"] * 4
    assert {one.split for one in TableResults.of(on_val).figures.values()} == {"val"}


@pytest.mark.parametrize(
    "change", [{"settings": "optim.peak_lr=0.02"}, {"ratios": (30.0,)}, {"seeds": (2, 3)}]
)
def test_a_changed_setting_makes_the_record_unused(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path, change: dict[str, Any]
) -> None:
    if "settings" in change:
        change = {"settings": (*recipe.settings, change["settings"])}
    assert set(states(plan_with(small, replace(recipe, **change), record))) == {"missing"}


def test_a_row_with_other_settings_is_trained_and_the_others_are_not(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path
) -> None:
    base, mean, dream = small.rows
    other = replace(small, rows=(base, replace(mean, settings=("method.lambda_consistency=2",)), dream))
    assert states(plan_with(other, recipe, record)) == ["recorded"] * 2 + ["missing"] * 2


def test_a_run_that_was_trained_here_wins_over_its_record(
    small: Table, recipe: Recipe, plan_with: Plans, finish: Finish, record: Path
) -> None:
    before = TableResults.of(plan_with(small, recipe, record))
    cell = plan_with(small, recipe).cells[0]
    finish(cell, 99)
    plan = plan_with(small, recipe, record)
    assert states(plan) == ["finished", "recorded", "recorded", "recorded"]
    after = TableResults.of(plan)
    assert after.figures["base", 20.0, 0].miou != before.figures["base", 20.0, 0].miou
    assert after.figures["base", 20.0, 1] == before.figures["base", 20.0, 1]


def test_a_record_needs_no_folder_so_another_run_there_does_not_refuse_it(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path
) -> None:
    other = replace(recipe, settings=(*recipe.settings, "optim.peak_lr=0.02"))
    cell = plan_with(small, other).cells[0]
    cell.run.saved.save(cell.run.folder.config)
    assert states(plan_with(small, recipe))[0] == "refused"
    assert states(plan_with(small, recipe, record))[0] == "recorded"


def test_figures_on_another_number_of_scans_are_not_taken(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path
) -> None:
    file = record / "tiny" / RUNS
    head, *lines = csv.reader(io.StringIO(file.read_text()))
    changed = [again(head, line, scans="1") for line in lines]
    rewrite(file, [head, *changed])
    plan = plan_with(small, recipe, record)
    assert states(plan) == ["missing"] * 4
    assert plan.cells[0].note == "it was recorded on 1 scan of test, here 2 of 2 have labels"


def test_a_smaller_recipe_leaves_the_recorded_lines_of_the_others(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path
) -> None:
    write(plan_with(small, replace(recipe, seeds=(1,)), record), record)
    assert states(plan_with(small, recipe, record)) == ["recorded"] * 4
    first = record / "tiny" / RUNS
    lines = first.read_text()
    write(plan_with(small, recipe, record), record)
    assert sorted(first.read_text().splitlines()) == sorted(lines.splitlines())


def test_an_older_run_of_the_same_row_goes_when_the_new_one_is_finished_and_not_before(
    small: Table, recipe: Recipe, plan_with: Plans, finish: Finish, record: Path
) -> None:
    changed = replace(recipe, settings=(*recipe.settings, "optim.peak_lr=0.02"), seeds=(0,))
    file = record / "tiny" / RUNS
    write(plan_with(small, changed, record), record)
    assert states(plan_with(small, recipe, record)) == ["recorded"] * 4
    finish(plan_with(small, changed).cells[0], 7)
    write(plan_with(small, changed, record), record)
    kept = {(one.cells["row"], one.cells["seed"]) for one in recorded_lines(file) or ()}
    assert kept == {("base", "0"), ("base", "1"), ("mean", "0"), ("mean", "1")}
    shutil.rmtree(recipe.manifest.runs)
    assert states(plan_with(small, recipe, record)) == ["missing", "recorded", "recorded", "recorded"]


def test_the_table_is_recorded_after_every_run(
    small: Table,
    recipe: Recipe,
    plan_with: Plans,
    finish: Finish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run is recorded before the next one ends, whatever happens then."""
    cells = {cell.plan.folder: cell for cell in plan_with(small, recipe).cells}
    seen = []

    def one_after_the_other(plans: Sequence[PlannedRun], *_: object) -> Iterator[Outcome]:
        for place, plan in enumerate(plans):
            if place == 3:
                raise RuntimeError("the machine is gone")
            finish(cells[plan.folder], place)
            yield Outcome(plan, None)
            seen.append(states(plan_with(small, recipe, tmp_path / "figures")).count("finished"))
            lines = recorded_lines(tmp_path / "figures" / "tiny" / RUNS) or ()
            assert len(lines) == 2 * (place + 1)  # a line for val and one for test

    monkeypatch.setattr(command, "outcomes", one_after_the_other)
    with pytest.raises(RuntimeError, match="gone"):
        make_table(small, recipe, 1, figures=tmp_path / "figures")
    assert seen == [1, 2, 3]
    shutil.rmtree(recipe.manifest.runs)
    assert states(plan_with(small, recipe, tmp_path / "figures")).count("recorded") == 3


def test_a_recorded_file_that_is_damaged_meanwhile_does_not_stop_the_other_runs(
    small: Table,
    recipe: Recipe,
    plan_with: Plans,
    finish: Finish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "figures" / "tiny" / RUNS
    cells = {cell.plan.folder: cell for cell in plan_with(small, recipe).cells}
    ended = []

    def damaged_at_once(plans: Sequence[PlannedRun], *_: object) -> Iterator[Outcome]:
        good = file.read_text()
        for place, plan in enumerate(plans):
            file.write_text(f"{good}x\n")
            finish(cells[plan.folder], place)
            yield Outcome(plan, None)
            ended.append(plan.folder)
        file.write_text(good)

    monkeypatch.setattr(command, "outcomes", damaged_at_once)
    make_table(small, recipe, 1, figures=tmp_path / "figures")
    assert len(ended) == 4
    assert len(recorded_lines(file) or ()) == 8


def test_the_plan_and_its_summary_name_recorded_runs(small: Table, recipe: Recipe, record: Path) -> None:
    said = planned(small, replace(recipe, seeds=(0, 1, 2)), 1, record)
    assert "supervised-demo-r20-s0         recorded\n" in said
    assert "6 runs, 4 recorded, 2 missing; 1 rows not built" in said


def test_a_file_of_an_earlier_version_is_named_and_not_used(
    small: Table, recipe: Recipe, plan_with: Plans, record: Path
) -> None:
    (record / "tiny" / RUNS).write_text(
        "row,ratio,seed,state,split,miou,digest\nbase,20,0,finished,test,41,ab\n"
    )
    assert states(plan_with(small, recipe, record)) == ["missing"] * 4
    (note,) = Records.read(record).notes
    assert note == f"note: {record / 'tiny' / RUNS} is of an earlier version, and no run can be taken from it"
    write(plan_with(small, recipe, record), record)
    assert Records.read(record).notes == (f"note: {record} holds no recorded run yet",)


def again(head: Sequence[str], line: Sequence[str], **cells: str) -> list[str]:
    """A line with other cells, and the checksum that they have."""
    line = [cells.get(column, cell) for column, cell in zip(head, line)]
    return [*line[:-1], checksum(line[:-1])]


def rewrite(file: Path, lines: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    file.write_text(text.getvalue())


def changed_line(**cells: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """Changes the second line with figures, and gives it the checksum that it then has."""
    return lambda rows: [*rows[:2], again(rows[0], rows[2], **cells), *rows[3:]]


DAMAGE: dict[str, tuple[Callable[[list[list[str]]], list[list[str]]], str]] = {
    "a figure by hand": (
        lambda rows: [*rows[:2], [*rows[2][:5], "99.9", *rows[2][6:]], *rows[3:]],
        r"line 3: a cell was changed after the line was written \(check is .*delete the line",
    ),
    "a line cut short": (lambda rows: [*rows[:2], rows[2][:7]], "line 3: it has 7 cells, the head has 29"),
    "a conflict of git": (
        lambda rows: [rows[0], ["<<<<<<< HEAD"], *rows[1:]],
        "line 2: it has 1 cell, ",
    ),
    "a column less": (
        lambda rows: [[*row[:8], *row[9:]] for row in rows],
        "line 1: the column accuracy is missing; restore the file",
    ),
    "a column twice": (lambda rows: [[row[0], *row] for row in rows], "line 1: a column stands twice"),
    "no head": (lambda rows: rows[1:], "line 1: the column row is missing"),
    "words": (changed_line(miou="good"), "line 3: miou is 'good', not per cent"),
    "no share": (changed_line(accuracy="101"), "line 3: accuracy is '101', not per cent"),
    "no number": (changed_line(seconds_per_step="nan"), "line 3: seconds_per_step is 'nan', not a number"),
    "no digest": (changed_line(digest="abc"), "line 3: digest is 'abc', not 64 hex digits"),
    "no count": (changed_line(scans="-1"), "line 3: scans is '-1', not a whole number"),
    "no rule": (changed_line(absent="maybe"), "line 3: absent is 'maybe', not zero or dropped"),
    "no classes": (changed_line(iou="lamp"), "line 3: iou is 'lamp', not class: per cent"),
    "another figure of the same run": (
        lambda rows: [*rows, again(rows[0], rows[2], miou="12.5")],
        r"line 10: miou of the run [0-9a-f]{12} on val is 12\.5, and [\d.]+ in .*runs\.csv, line 3; delete",
    ),
    "two other figures": (
        lambda rows: [*rows, *(again(rows[0], row, accuracy="12.5") for row in rows[1:3])],
        r"line 10: accuracy of the run .* delete the line that is wrong; there are 1 more such pairs",
    ),
    "nothing": (lambda rows: [], r"runs\.csv is empty; restore it"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line(
    record: Path, tiny: Any, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    change, said = DAMAGE[damage]
    file = record / "tiny" / RUNS
    rewrite(file, change(list(csv.reader(io.StringIO(file.read_text())))))
    with pytest.raises(CorruptArtifact, match=said):
        Records.read(record)
    arguments = tiny.arguments("table", "--table", "6", "--ratios", "20", "--plan", "--figures", str(record))
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file}")


def test_other_text_and_a_file_for_a_folder_are_one_line(record: Path) -> None:
    file = record / "tiny" / RUNS
    file.write_bytes(file.read_text().encode("utf-16"))
    with pytest.raises(DataError, match=r"runs\.csv is no UTF-8 text \(UTF-16"):
        Records.read(record)
    with pytest.raises(DataError, match="it is a file; give the folder"):
        Records.read(file)


def test_no_other_letter_in_a_file_gives_other_figures(record: Path) -> None:
    """Brute force: each letter of the file is exchanged, one at a time."""
    file = record / "tiny" / RUNS
    text = "".join(file.read_text().splitlines(keepends=True)[:3])
    file.write_text(text)
    found = [one.figures for one in recorded_lines(file) or ()]
    assert len(found) == 2
    for place, letter in enumerate(text):
        file.write_text(f"{text[:place]}{'7' if letter != '7' else '8'}{text[place + 1 :]}")
        try:
            now = recorded_lines(file)
        except Lass3dError as error:
            assert str(file) in str(error)
        else:
            assert now is not None and [one.figures for one in now] == found


names = st.text(min_size=1).filter(lambda name: "\0" not in name)
names = st.text(min_size=1).filter(lambda name: "\0" not in name)
shares = st.none() | st.floats(0, 1).map(lambda share: float(f"{100 * share:.6g}"))
costs = st.none() | st.floats(0, 1e9).map(lambda cost: float(f"{cost:.6g}"))
scans = st.none() | st.integers(0, 10**6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(names, shares), min_size=1, max_size=5),
    shares,
    costs,
    st.none() | st.integers(0, 9**6),
)
def test_what_a_line_says_is_what_is_read_from_it(
    iou: list[tuple[str, float | None]], share: float | None, seconds: float | None, scans: int | None
) -> None:
    reached = (share, share, None, "dropped", tuple(iou))
    camera = None if share is None else CameraShares(share, None, share)
    figures = RunFigures("0" * 64, "val", *reached, 3, scans, 9, None, 1.0, seconds, "1.2", "a1", camera)
    assert figures_in(cells_of(figures), "here") == figures
